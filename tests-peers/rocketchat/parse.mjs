// The official parser of messages on texts of ours (a JSON list on standard input): prints the addresses of their links.
// usage: node parse.mjs ORACLES.cjs

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { parse } = createRequire(import.meta.url)(process.argv[2]);
const links = (node) => (node?.type === 'LINK' ? [node.value.src.value] : Object.values(node ?? {}).filter((it) => typeof it === 'object').flatMap(links));
console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map((text) => links(parse(text)))));
