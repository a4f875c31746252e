import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Security;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.Hashtable;
import java.util.Map;
import java.util.Vector;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.logging.Level;
import java.util.logging.LogManager;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.crypto.util.PrivateKeyFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.tls.*;
import org.bouncycastle.tls.crypto.TlsCertificate;
import org.bouncycastle.tls.crypto.TlsCryptoParameters;
import org.bouncycastle.tls.crypto.impl.bc.BcDefaultTlsCredentialedSigner;
import org.bouncycastle.tls.crypto.impl.bc.BcTlsCertificate;
import org.bouncycastle.tls.crypto.impl.bc.BcTlsCrypto;
import org.ice4j.Transport;
import org.ice4j.TransportAddress;
import org.ice4j.ice.Agent;
import org.ice4j.ice.CandidateType;
import org.ice4j.ice.Component;
import org.ice4j.ice.IceMediaStream;
import org.ice4j.ice.KeepAliveStrategy;
import org.ice4j.ice.LocalCandidate;
import org.ice4j.ice.NominationStrategy;
import org.ice4j.ice.RemoteCandidate;
import org.ice4j.ice.harvest.AbstractUdpListener;
import org.ice4j.ice.harvest.SinglePortUdpHarvester;
import org.ice4j.util.Buffer;
import org.jitsi.srtp.SrtcpCryptoContext;
import org.jitsi.srtp.SrtpContextFactory;
import org.jitsi.srtp.SrtpCryptoContext;
import org.jitsi.srtp.SrtpErrorStatus;
import org.jitsi.srtp.SrtpPolicy;
import org.jitsi.srtp.crypto.Aes;
import org.jitsi.utils.ByteArrayBuffer;
import org.jitsi.utils.logging2.Logger;
import org.jitsi.utils.logging2.LoggerImpl;

/**
 * The transport of a Jitsi bridge without the bridge: its ICE (ice4j behind one port), its DTLS 1.2 (BouncyCastle), its SRTP
 * (jitsi-srtp), composed as a bridge composes them. It sends back each packet it could authenticate and decrypt, under a source of
 * its own; now and then it sends a forged copy before, or the same once more. One session at a time. One JSON object a line asks:
 *
 * <pre>
 *   {"do": "open", "controlling": true, "profiles": ["gcm128", "cm80"]}       told: description
 *   {"do": "answer", "ufrag", "pwd", "setup", "fingerprint", "candidates": [{"ip", "port"}]}   told: keys, later
 *   {"do": "restart"}                     another agent beside the first; told: restart, with its ufrag, pwd and candidates
 *   {"do": "restart-answer", "ufrag", "pwd"}                                 told: moved, when media goes the new way
 *   {"do": "counts"}                      told: counts                       {"do": "close"}      frees the session
 * </pre>
 */
public final class BridgePeer {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Logger LOGGER = new LoggerImpl("peer");
    static final BcTlsCrypto CRYPTO = new BcTlsCrypto(new SecureRandom());
    static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);

    public static void main(String[] arguments) throws Exception {
        LogManager.getLogManager().getLogger("").setLevel(Level.WARNING);
        Security.addProvider(new BouncyCastleProvider());
        Aes.setFactoryClassName("OpenSSL"); // As the bridge's own configuration says.
        AbstractUdpListener.USE_PUSH_API = true; // As the bridge starts it.
        var address = new TransportAddress(arguments[0], Integer.parseInt(arguments[1]), Transport.UDP);
        var harvester = new SinglePortUdpHarvester(address);
        var identity = new Identity();
        Session session = null;
        tell(event("ready"));
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode wish = JSON.readTree(line);
            switch (wish.get("do").asText()) {
                case "open" -> session = new Session(harvester, identity, wish);
                case "answer" -> session.answer(wish);
                case "restart" -> session.restart();
                case "restart-answer" -> session.restartAnswer(wish);
                case "counts" -> session.tellCounts();
                case "close" -> session.end();
                default -> throw new IllegalArgumentException(line);
            }
        }
        System.exit(0);
    }

    static ObjectNode event(String name) {
        return JSON.createObjectNode().put("event", name);
    }

    /** One write a line: the log shares the file. */
    static synchronized void tell(ObjectNode event) {
        try {
            OUT.write((event + "\n").getBytes());
        } catch (IOException nobodyListens) {
            System.exit(1);
        }
    }

    static void fault(String where, Throwable why) {
        tell(event("error").put("where", where).put("what", why.toString()));
    }

    /** A self-signed P-256 certificate. */
    static final class Identity {
        final KeyPair keys;
        final Certificate chain;
        final String fingerprint;

        Identity() throws Exception {
            var generator = KeyPairGenerator.getInstance("EC", "BC");
            generator.initialize(new java.security.spec.ECGenParameterSpec("secp256r1"));
            keys = generator.generateKeyPair();
            long now = System.currentTimeMillis();
            long day = TimeUnit.DAYS.toMillis(1);
            var name = new X500Name("CN=bridge peer");
            var builder = new JcaX509v3CertificateBuilder(
                    name, BigInteger.valueOf(now), new Date(now - day), new Date(now + 7 * day), name, keys.getPublic());
            var signed = builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate()));
            chain = new Certificate(new TlsCertificate[] {new BcTlsCertificate(CRYPTO, signed.toASN1Structure())});
            fingerprint = fingerprintOf(signed.getEncoded());
        }

        BcDefaultTlsCredentialedSigner signer(TlsContext context) throws IOException {
            var algorithm = new SignatureAndHashAlgorithm(HashAlgorithm.sha256, SignatureAlgorithm.ecdsa);
            var key = PrivateKeyFactory.createKey(keys.getPrivate().getEncoded());
            return new BcDefaultTlsCredentialedSigner(new TlsCryptoParameters(context), CRYPTO, key, chain, algorithm);
        }
    }

    static String fingerprintOf(byte[] der) throws GeneralSecurityException {
        var text = new StringBuilder();
        for (byte one : MessageDigest.getInstance("SHA-256").digest(der)) {
            text.append(text.length() == 0 ? "" : ":").append(String.format("%02X", one));
        }
        return text.toString();
    }

    /** An SRTP protection profile. */
    enum Profile {
        gcm128(SRTPProtectionProfile.SRTP_AEAD_AES_128_GCM, 12),
        cm80(SRTPProtectionProfile.SRTP_AES128_CM_HMAC_SHA1_80, 14);

        final int number;
        final int saltBytes;

        Profile(int number, int saltBytes) {
            this.number = number;
            this.saltBytes = saltBytes;
        }

        SrtpPolicy policy() {
            return this == gcm128
                    ? new SrtpPolicy(SrtpPolicy.AESGCM_ENCRYPTION, 16, SrtpPolicy.NULL_AUTHENTICATION, 0, 16, 12)
                    : new SrtpPolicy(SrtpPolicy.AESCM_ENCRYPTION, 16, SrtpPolicy.HMACSHA1_AUTHENTICATION, 20, 10, 14);
        }

        /** The first of ours that they have, too. */
        static Profile chosen(Profile[] ours, int[] theirs) throws IOException {
            for (Profile profile : ours) {
                if (Arrays.stream(theirs).anyMatch(number -> number == profile.number)) {
                    return profile;
                }
            }
            throw new TlsFatalAlert(AlertDescription.handshake_failure);
        }
    }

    /** ICE with one stream and one component; a restart makes a second one. */
    static final class Path {
        final Agent agent = new Agent(LOGGER);
        final IceMediaStream stream;
        final Component component;

        Path(Session session, SinglePortUdpHarvester harvester, boolean controlling) throws IOException {
            agent.setUseDynamicPorts(false);
            agent.addCandidateHarvester(harvester);
            agent.setControlling(controlling);
            agent.setPerformConsentFreshness(true);
            agent.setNominationStrategy(NominationStrategy.NOMINATE_FIRST_HOST_OR_REFLEXIVE_VALID);
            stream = agent.createMediaStream("stream");
            component = agent.createComponent(stream, KeepAliveStrategy.SELECTED_ONLY, false);
            component.setBufferCallback(session::received);
            agent.addStateChangeListener(change -> session.iceState(this, change.getNewValue().toString()));
            stream.addPairChangeListener(change -> {
                if (change.getPropertyName().equals(IceMediaStream.PROPERTY_PAIR_VALIDATED)) {
                    session.writable(this);
                }
            });
        }

        ObjectNode describe(ObjectNode event) {
            ArrayNode candidates = event.put("ufrag", agent.getLocalUfrag()).put("pwd", agent.getLocalPassword()).putArray("candidates");
            for (LocalCandidate candidate : component.getLocalCandidates()) {
                var address = candidate.getTransportAddress();
                candidates.addObject().put("ip", address.getHostAddress()).put("port", address.getPort());
            }
            return event;
        }

        void start(JsonNode theirs) {
            stream.setRemoteUfrag(theirs.get("ufrag").asText());
            stream.setRemotePassword(theirs.get("pwd").asText());
            for (JsonNode candidate : theirs.withArray("candidates")) {
                var address = new TransportAddress(candidate.get("ip").asText(), candidate.get("port").asInt(), Transport.UDP);
                component.addRemoteCandidate(
                        new RemoteCandidate(address, component, CandidateType.HOST_CANDIDATE, "1", 2130706431L, null));
            }
            agent.startConnectivityEstablishment();
        }
    }

    /** One endpoint. */
    static final class Session implements DatagramTransport {
        /** Of what it sends back. */
        static final int SSRC = 0x0bada55e;

        final SinglePortUdpHarvester harvester;
        final Identity identity;
        final boolean controlling;
        final Profile[] profiles;
        final BlockingQueue<byte[]> handshake = new ArrayBlockingQueue<>(50);
        final AtomicBoolean dtlsStarted = new AtomicBoolean();
        volatile Path path;
        volatile Path next;
        volatile boolean closed;
        volatile Media media;
        String theirFingerprint;
        boolean client;

        Session(SinglePortUdpHarvester harvester, Identity identity, JsonNode wish) throws IOException {
            this.harvester = harvester;
            this.identity = identity;
            controlling = wish.get("controlling").asBoolean();
            var names = wish.withArray("profiles");
            profiles = new Profile[names.size()];
            for (int place = 0; place < profiles.length; place++) {
                profiles[place] = Profile.valueOf(names.get(place).asText());
            }
            path = new Path(this, harvester, controlling);
            tell(path.describe(event("description")).put("fingerprint", identity.fingerprint));
        }

        void answer(JsonNode theirs) {
            theirFingerprint = theirs.get("fingerprint").asText();
            client = theirs.get("setup").asText().equals("passive");
            path.start(theirs);
        }

        void restart() throws IOException {
            next = new Path(this, harvester, controlling);
            tell(next.describe(event("restart")));
        }

        void restartAnswer(JsonNode theirs) {
            next.start(theirs);
        }

        void iceState(Path of, String state) {
            tell(event("ice").put("state", state));
            // Media goes the old way until the new one is there.
            if (of == next && (state.equals("Completed") || state.equals("Terminated"))) {
                path = next;
                next = null;
                tell(event("moved"));
            }
        }

        void writable(Path of) {
            if (of == path && dtlsStarted.compareAndSet(false, true)) {
                var thread = new Thread(this::shakeHands, "dtls");
                thread.setDaemon(true);
                thread.start();
            }
        }

        void shakeHands() {
            try {
                DTLSTransport dtls = client
                        ? new DTLSClientProtocol().connect(new Client(this), this)
                        : new DTLSServerProtocol().accept(new Server(this), this);
                var buffer = new byte[2048];
                while (!closed) {
                    dtls.receive(buffer, 0, buffer.length, 100);
                }
            } catch (Exception over) {
                if (!closed) {
                    tell(event("dtls-over").put("why", over.toString()));
                }
            }
        }

        /** Both DTLS roles end here. */
        void secured(TlsContext context, Profile profile, boolean asClient) {
            int bytes = 2 * (16 + profile.saltBytes);
            byte[] material = context.exportKeyingMaterial(ExporterLabel.dtls_srtp, null, bytes);
            media = new Media(this, profile, material, asClient);
            var facts = context.getSecurityParametersConnection();
            tell(event("keys").put("profile", profile.name()).put("suite", String.format("%04x", facts.getCipherSuite()))
                    .put("extended_master_secret", facts.isExtendedMasterSecret()).put("role", asClient ? "client" : "server"));
        }

        void verify(Certificate chain) throws IOException {
            try {
                boolean right = !chain.isEmpty()
                        && fingerprintOf(chain.getCertificateAt(0).getEncoded()).equalsIgnoreCase(theirFingerprint);
                if (!right) {
                    tell(event("wrong-certificate"));
                    throw new TlsFatalAlert(AlertDescription.bad_certificate);
                }
            } catch (GeneralSecurityException impossible) {
                throw new TlsFatalAlert(AlertDescription.internal_error, impossible);
            }
        }

        /** What is not STUN (RFC 7983). */
        void received(Buffer buffer) {
            byte[] bytes = Arrays.copyOfRange(buffer.getBuffer(), buffer.getOffset(), buffer.getOffset() + buffer.getLength());
            int first = bytes.length == 0 ? 0 : bytes[0] & 0xff;
            if (first >= 20 && first <= 63) {
                handshake.offer(bytes);
            } else if (first >= 128 && first <= 191 && media != null) {
                try {
                    media.received(bytes);
                } catch (GeneralSecurityException | RuntimeException why) {
                    fault("media", why);
                }
            }
        }

        void transmit(byte[] bytes) {
            try {
                path.component.send(bytes, 0, bytes.length);
            } catch (IOException why) {
                if (!closed) {
                    fault("send", why);
                }
            }
        }

        void tellCounts() {
            tell(media.counts());
        }

        void end() {
            closed = true;
            path.agent.free();
            if (next != null) {
                next.agent.free();
            }
            tell(event("closed"));
        }

        // What BouncyCastle reads from and writes to.

        @Override
        public int receive(byte[] room, int offset, int length, int waitMillis) {
            try {
                byte[] bytes = handshake.poll(waitMillis, TimeUnit.MILLISECONDS);
                if (bytes == null) {
                    return -1;
                }
                System.arraycopy(bytes, 0, room, offset, Math.min(length, bytes.length));
                return Math.min(length, bytes.length);
            } catch (InterruptedException over) {
                return -1;
            }
        }

        @Override
        public void send(byte[] bytes, int offset, int length) {
            transmit(Arrays.copyOfRange(bytes, offset, offset + length));
        }

        @Override
        public void close() {}

        @Override
        public int getReceiveLimit() {
            return 1500 - 20 - 8;
        }

        @Override
        public int getSendLimit() {
            return 1500 - 84 - 8;
        }
    }

    /** SRTP and SRTCP, and the echo. */
    static final class Media {
        final Session session;
        final SrtpContextFactory theirs;
        final SrtpContextFactory ours;
        final Map<Integer, SrtpCryptoContext> rtp = new HashMap<>();
        final Map<Integer, SrtcpCryptoContext> rtcp = new HashMap<>();
        final SrtpCryptoContext echo;
        final SrtcpCryptoContext echoControl;
        final ObjectNode counts = event("counts");
        int sent;

        Media(Session session, Profile profile, byte[] material, boolean client) {
            this.session = session;
            int salt = 32 + profile.saltBytes;
            byte[] clientKey = Arrays.copyOfRange(material, 0, 16);
            byte[] serverKey = Arrays.copyOfRange(material, 16, 32);
            byte[] clientSalt = Arrays.copyOfRange(material, 32, salt);
            byte[] serverSalt = Arrays.copyOfRange(material, salt, material.length);
            var fromClient = new SrtpContextFactory(client, clientKey, clientSalt, profile.policy(), profile.policy(), LOGGER);
            var fromServer = new SrtpContextFactory(!client, serverKey, serverSalt, profile.policy(), profile.policy(), LOGGER);
            theirs = client ? fromServer : fromClient;
            ours = client ? fromClient : fromServer;
            try {
                echo = ours.deriveContext(Session.SSRC, 0);
                echoControl = ours.deriveControlContext(Session.SSRC);
            } catch (GeneralSecurityException impossible) {
                throw new IllegalStateException(impossible);
            }
            for (String name : new String[] {"rtp", "rtcp", "unauthentic", "replayed", "refused", "forged", "repeated"}) {
                counts.put(name, 0);
            }
        }

        void count(String name) {
            counts.put(name, counts.get(name).asInt() + 1);
        }

        synchronized ObjectNode counts() {
            return counts.deepCopy();
        }

        synchronized void received(byte[] bytes) throws GeneralSecurityException {
            var packet = new Packet(bytes);
            int kind = bytes[1] & 0xff;
            boolean control = kind >= 192 && kind <= 223;
            int ssrc = packet.integer(control ? 4 : 8);
            // As the bridge: a context is kept once something was authentic.
            SrtpErrorStatus status;
            if (control) {
                var context = rtcp.containsKey(ssrc) ? rtcp.get(ssrc) : theirs.deriveControlContext(ssrc);
                status = context.reverseTransformPacket(packet);
                if (status == SrtpErrorStatus.OK) {
                    rtcp.put(ssrc, context);
                }
            } else {
                var context = rtp.containsKey(ssrc) ? rtp.get(ssrc) : theirs.deriveContext(ssrc, 0);
                status = context.reverseTransformPacket(packet, false);
                if (status == SrtpErrorStatus.OK) {
                    rtp.put(ssrc, context);
                }
            }
            switch (status) {
                case OK -> {
                    count(control ? "rtcp" : "rtp");
                    answer(packet, control);
                }
                case AUTH_FAIL -> count("unauthentic");
                case REPLAY_FAIL, REPLAY_OLD -> count("replayed");
                default -> count("refused");
            }
        }

        void answer(Packet packet, boolean control) throws GeneralSecurityException {
            packet.integer(control ? 4 : 8, Session.SSRC);
            var status = control ? echoControl.transformPacket(packet) : echo.transformPacket(packet);
            if (status != SrtpErrorStatus.OK) {
                throw new GeneralSecurityException(status.desc);
            }
            byte[] bytes = packet.bytes();
            sent++;
            if (sent % 7 == 3) {
                byte[] forged = bytes.clone();
                forged[control ? 12 : bytes.length - 1] ^= 1;
                count("forged");
                session.transmit(forged);
            }
            session.transmit(bytes);
            if (sent % 5 == 2) {
                count("repeated");
                session.transmit(bytes);
            }
        }
    }

    /** Bytes as jitsi-srtp wants them. */
    static final class Packet implements ByteArrayBuffer {
        byte[] buffer;
        int offset;
        int length;

        Packet(byte[] bytes) {
            buffer = Arrays.copyOf(bytes, bytes.length + 64);
            length = bytes.length;
        }

        int integer(int place) {
            int at = offset + place;
            return (buffer[at] & 0xff) << 24 | (buffer[at + 1] & 0xff) << 16 | (buffer[at + 2] & 0xff) << 8 | buffer[at + 3] & 0xff;
        }

        void integer(int place, int value) {
            for (int number = 0; number < 4; number++) {
                buffer[offset + place + number] = (byte) (value >> (24 - 8 * number));
            }
        }

        byte[] bytes() {
            return Arrays.copyOfRange(buffer, offset, offset + length);
        }

        @Override
        public byte[] getBuffer() {
            return buffer;
        }

        @Override
        public int getOffset() {
            return offset;
        }

        @Override
        public int getLength() {
            return length;
        }

        @Override
        public void setLength(int length) {
            this.length = length;
        }

        @Override
        public void setOffset(int offset) {
            this.offset = offset;
        }

        @Override
        public boolean isInvalid() {
            return false;
        }

        @Override
        public void readRegionToBuff(int from, int count, byte[] room) {
            System.arraycopy(buffer, offset + from, room, 0, count);
        }

        @Override
        public void grow(int more) {
            if (offset + length + more > buffer.length) {
                buffer = Arrays.copyOf(buffer, offset + length + more);
            }
        }

        @Override
        public void append(byte[] data, int count) {
            grow(count);
            System.arraycopy(data, 0, buffer, offset + length, count);
            length += count;
        }

        @Override
        public void shrink(int less) {
            length = Math.max(0, length - less);
        }
    }

    static final int[] SUITES = {
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    };

    /** The bridge as DTLS client: we are passive. */
    static final class Client extends DefaultTlsClient {
        final Session session;
        Profile profile;

        Client(Session session) {
            super(CRYPTO);
            this.session = session;
        }

        @Override
        public Hashtable<Integer, byte[]> getClientExtensions() throws IOException {
            @SuppressWarnings("unchecked")
            Hashtable<Integer, byte[]> extensions = TlsExtensionsUtils.ensureExtensionsInitialised(super.getClientExtensions());
            int[] numbers = Arrays.stream(session.profiles).mapToInt(one -> one.number).toArray();
            TlsSRTPUtils.addUseSRTPExtension(extensions, new UseSRTPData(numbers, TlsUtils.EMPTY_BYTES));
            extensions.put(ExtensionType.renegotiation_info, new byte[] {0});
            return extensions;
        }

        @Override
        @SuppressWarnings("rawtypes")
        public void processServerExtensions(Hashtable extensions) throws IOException {
            profile = Profile.chosen(session.profiles, TlsSRTPUtils.getUseSRTPExtension(extensions).getProtectionProfiles());
        }

        @Override
        public TlsAuthentication getAuthentication() {
            return new TlsAuthentication() {
                @Override
                public void notifyServerCertificate(TlsServerCertificate theirs) throws IOException {
                    session.verify(theirs.getCertificate());
                }

                @Override
                public TlsCredentials getClientCredentials(CertificateRequest request) throws IOException {
                    return session.identity.signer(context);
                }
            };
        }

        @Override
        public int[] getCipherSuites() {
            return SUITES;
        }

        @Override
        protected ProtocolVersion[] getSupportedVersions() {
            return new ProtocolVersion[] {ProtocolVersion.DTLSv12};
        }

        @Override
        public void notifyHandshakeComplete() throws IOException {
            super.notifyHandshakeComplete();
            session.secured(context, profile, true);
        }

        @Override
        public void notifyAlertReceived(short level, short description) {
            tell(event("alert").put("name", AlertDescription.getName(description)));
        }
    }

    /** The bridge as DTLS server: we are active. */
    static final class Server extends DefaultTlsServer {
        final Session session;
        Profile profile;

        Server(Session session) {
            super(CRYPTO);
            this.session = session;
        }

        @Override
        @SuppressWarnings("rawtypes")
        public void processClientExtensions(Hashtable extensions) throws IOException {
            super.processClientExtensions(extensions);
            profile = Profile.chosen(session.profiles, TlsSRTPUtils.getUseSRTPExtension(extensions).getProtectionProfiles());
        }

        @Override
        public Hashtable<Integer, byte[]> getServerExtensions() throws IOException {
            @SuppressWarnings("unchecked")
            Hashtable<Integer, byte[]> extensions = TlsExtensionsUtils.ensureExtensionsInitialised(super.getServerExtensions());
            TlsSRTPUtils.addUseSRTPExtension(extensions, new UseSRTPData(new int[] {profile.number}, TlsUtils.EMPTY_BYTES));
            return extensions;
        }

        @Override
        public CertificateRequest getCertificateRequest() {
            var algorithms = new Vector<SignatureAndHashAlgorithm>();
            algorithms.add(new SignatureAndHashAlgorithm(HashAlgorithm.sha256, SignatureAlgorithm.ecdsa));
            return new CertificateRequest(new short[] {ClientCertificateType.ecdsa_sign}, algorithms, null);
        }

        @Override
        public void notifyClientCertificate(Certificate theirs) throws IOException {
            session.verify(theirs);
        }

        @Override
        protected TlsCredentialedSigner getECDSASignerCredentials() throws IOException {
            return session.identity.signer(context);
        }

        @Override
        public int[] getCipherSuites() {
            return SUITES;
        }

        @Override
        protected ProtocolVersion[] getSupportedVersions() {
            return new ProtocolVersion[] {ProtocolVersion.DTLSv12};
        }

        @Override
        public void notifyHandshakeComplete() throws IOException {
            super.notifyHandshakeComplete();
            session.secured(context, profile, false);
        }

        @Override
        public void notifyAlertReceived(short level, short description) {
            tell(event("alert").put("name", AlertDescription.getName(description)));
        }
    }
}
