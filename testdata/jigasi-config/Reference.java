import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;
import java.util.TreeMap;

/** What java.util.Properties makes of each line of standard input: a file's bytes in hexadecimal. */
public class Reference {
    static String hex(Object text) {
        return HexFormat.of().formatHex(text.toString().getBytes(StandardCharsets.UTF_8));
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Properties read = new Properties();
            try {
                read.load(new ByteArrayInputStream(HexFormat.of().parseHex(line)));
                TreeMap<String, String> sorted = new TreeMap<>();
                read.forEach((key, value) -> sorted.put(hex(key), hex(value)));
                out.append(sorted);
            } catch (IllegalArgumentException refused) {
                out.append("refused");
            }
            out.append('\n');
        }
        System.out.print(out);
    }
}
