// The app beside a running gateway, moved by JSON lines: {"do":"call","id":...,"url":...}, {"do":"slash","user":...,"words":[...]},
// {"do":"press","user":...,"button":{...}}. Tells `ready`, then `told` for each with what the user reads.
// usage: node live.mjs SETTINGS-AS-JSON

import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

import { buttons, Server } from './engine.mjs';

const { WeeBeeApp } = createRequire(import.meta.url)('../app.cjs');
const chat = await new Server(WeeBeeApp, JSON.parse(process.argv[2])).start();
const say = (event, more) => console.log(JSON.stringify({ event, ...more }));
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
	const wish = JSON.parse(line);
	try {
		if (wish.do === 'call') await chat.call(wish.id, wish.url).then(() => say('told', {}));
		else {
			const told = wish.do === 'slash' ? await chat.slash('dialin', wish.user, ...wish.words) : await chat.press(wish.button, wish.user);
			say('told', { text: told.text, buttons: buttons(told) });
		}
	} catch (error) {
		say('error', { what: String(error) });
	}
}
