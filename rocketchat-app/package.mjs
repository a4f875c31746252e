// Makes weebee-dial-in.zip, which the server takes, of the bundled app (app.cjs). `npm run package` does both.

import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const AdmZip = createRequire(import.meta.url)('adm-zip');
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export function zipped() {
	const zip = new AdmZip();
	for (const name of ['app.json', 'icon.png']) zip.addLocalFile(here(name));
	zip.addLocalFolder(here('i18n'), 'i18n');
	zip.addFile('src/WeeBeeApp.js', readFileSync(here('app.cjs')));
	return zip.toBuffer();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(here('weebee-dial-in.zip'), zipped());
