// The app against a gateway that notes what it is asked: which requests the command and the buttons make, and what people read.
// usage: npm test

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import { zipped } from '../package.mjs';
import { buttons, manifest, Server, users } from './engine.mjs';

const require = createRequire(import.meta.url);
const { WeeBeeApp } = require('../app.cjs');
const { AppPackageParser } = require('@rocket.chat/apps-engine/server/compiler/AppPackageParser');

const TOKEN = 'token-of-the-gateway';
const CALL = '6657aabbcc0011223344556f';
const ROOM = `rocketchat${CALL}`;
let phones;
let refuse;
let asked;
const gateway = createServer(async (request, response) => {
	let text = '';
	for await (const chunk of request) text += chunk;
	asked.push(`${request.method} ${request.url} ${text}`.trim());
	const answer = (status, value) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
	if (request.headers.authorization !== `Bearer ${TOKEN}`) return answer(401, { error: 'no token' });
	if (refuse) return answer(refuse, { type: 'urn:weebee:problem:not-allowed', title: TOKEN, detail: 'the caller is in no room', remedy: 'wait' });
	if (request.url === '/v1/pins') return answer(201, { id: 'p1', pin: '482913075' });
	if (request.url.startsWith('/v1/calls') && request.method === 'GET') return answer(200, { calls: phones });
	const [, id, deed] = request.url.match(/^\/v1\/calls\/([^/]+)\/(mute|hangup|admit)$/) ?? [];
	answer(deed && phones.some((it) => it.id === id) ? 200 : 404, {});
});
let url;
before(() => new Promise((done) => gateway.listen(0, '127.0.0.1', () => { url = `http://127.0.0.1:${gateway.address().port}`; done(); })));
after(() => gateway.close());

async function server(more = {}) {
	phones = [
		{ id: 'c1-1', kind: 'phone', room: ROOM, caller: '+62 *** 47', muted: false, waiting: false },
		{ id: 'c2-1', kind: 'phone', room: 'another', caller: '+1 *** 99', muted: false, waiting: false },
		{ id: 'c3-1', kind: 'browser', room: ROOM, caller: '', muted: false, waiting: false },
	];
	[refuse, asked] = [undefined, []];
	const set = { gateway_url: `${url}/`, gateway_token: TOKEN, numbers: '+62 21 1234 5678, +1 202 555 0123', jitsi_url: 'https://meet.example.org', ...more };
	return new Server(WeeBeeApp, set).start();
}

test('/dialin tells number and PIN to the asker alone', async () => {
	const chat = await server();
	const none = await chat.slash('dialin', 'eve');
	assert.match(none.text, /No meeting is going on/);
	assert.deepEqual(asked, []);
	await chat.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
	const { to, text } = await chat.slash('dialin', 'eve');
	assert.equal(to, 'eve');
	assert.match(text, /\+62 21 1234 5678.*\(tel:\+622112345678,482913075%23\)\n.*\(tel:\+12025550123,482913075%23\)\nPIN: \*482 913 075 #\*/);
	assert.deepEqual(asked, [`POST /v1/pins {"room":"${ROOM}"}`]);
});

test('a newer call takes the place, and one that is over is none', async () => {
	const chat = await server();
	await chat.call('a'.repeat(24), `https://meet.example.org/RocketChat${'a'.repeat(24)}`);
	const call = await chat.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
	await chat.slash('dialin', 'ana');
	assert.match(asked[0], new RegExp(ROOM));
	call.status = 2;
	assert.match((await chat.slash('dialin', 'ana')).text, /No meeting/);
});

test('rooms of others stay plain', async () => {
	for (const other of [`https://evil.example/RocketChat${CALL}`, `https://meet.example.org/tea`, `https://meet.example.org/tenant/RocketChat${CALL}`, 'nonsense', 'https://meet.example.org@evil.example/RocketChatx']) {
		const chat = await server();
		await chat.call(CALL, other);
		assert.match((await chat.slash('dialin', 'ana')).text, /Phones cannot join/, other);
		assert.deepEqual(asked, [], other);
	}
});

test('addresses that the official Jitsi app made are read as the gateway reads them', async () => {
	// See testdata/rocketchat/README.md of the repository.
	const recorded = JSON.parse(readFileSync(process.env.WEEBEE_JITSI_URLS ?? new URL('../../testdata/rocketchat/jitsi-app-urls.json', import.meta.url)));
	assert.ok(recorded.length > 8);
	for (const { why, settings, room_name: name, url: link, joined } of recorded) {
		const { jitsi_domain: domain, jitsi_title_prefix: prefix, jitsi_title_suffix: suffix } = settings;
		for (const address of [link, joined]) {
			const chat = await server({ jitsi_url: `https://${domain}`, prefix, suffix });
			await chat.call(CALL, address);
			const { text } = await chat.slash('dialin', 'ana');
			if (why === 'JaaS') assert.match(text, /Phones cannot join/);
			// What follows a question mark is none of a path.
			const [room] = `${prefix}${name ?? CALL}${suffix}`.toLowerCase().split('?');
			const wanted = why === 'JaaS' ? [] : [`POST /v1/pins ${JSON.stringify({ room })}`];
			assert.deepEqual(asked, wanted, `${why}: ${address}`);
		}
	}
});

test('who is in charge sees the phones, and mutes, opens, hangs up and admits them', async () => {
	const chat = await server();
	await chat.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
	assert.match((await chat.slash('dialin', 'eve', 'phones')).text, /Only who started/);
	assert.deepEqual(asked, []);
	const list = await chat.slash('dialin', 'moe', 'phones');
	assert.match(list.text, /Phones in this meeting: 1/);
	assert.match(list.blocks[0].text.text, /\+62 \*\*\* 47.*in the meeting/);
	assert.deepEqual(Object.keys(buttons(list)), ['mute', 'hangup']);
	assert.ok(list.blocks.every((block) => block.appId === manifest.id), 'buttons lead to this app');
	asked = [];
	assert.match((await chat.press(buttons(list).mute, 'ana')).text, /Muted/);
	assert.match((await chat.press(buttons(list).hangup, 'moe')).text, /Hung up/);
	assert.deepEqual(asked.filter((it) => it.startsWith('POST')), ['POST /v1/calls/c1-1/mute {"muted":true}', 'POST /v1/calls/c1-1/hangup']);
	Object.assign(phones[0], { muted: true });
	const muted = buttons(await chat.slash('dialin', 'ana', 'phones'));
	asked = [];
	assert.match((await chat.press(muted.unmute, 'ana')).text, /opened/);
	assert.equal(asked.at(-1), 'POST /v1/calls/c1-1/mute {"muted":false}');
	Object.assign(phones[0], { waiting: true });
	const waiting = buttons(await chat.slash('dialin', 'ana', 'phones'));
	assert.match((await chat.press(waiting.admit, 'ana')).text, /Admitted/);
	assert.equal(asked.at(-1), 'POST /v1/calls/c1-1/admit');
});

test('a button does nothing for strangers, nor to calls of other meetings', async () => {
	const chat = await server();
	await chat.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
	assert.match((await chat.press({ actionId: 'hangup', value: 'c1-1' }, 'eve')).text, /Only who started/);
	assert.match((await chat.press({ actionId: 'hangup', value: 'c2-1' }, 'ana')).text, /No phone/);
	assert.match((await chat.press({ actionId: 'mute', value: '../pins' }, 'ana')).text, /No phone/);
	assert.ok(asked.every((it) => it.startsWith('GET')), asked.join());
	await assert.rejects(chat.press({ actionId: 'constructor', value: 'c1-1' }, 'ana'), /told 0/);
});

test('what goes wrong is said in words, without a secret', async () => {
	const url404 = await server();
	await url404.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
	const say = async (more, status, words) => {
		const chat = await server(more);
		refuse = status;
		await chat.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
		const { text } = await chat.slash('dialin', 'ana');
		assert.match(text, words);
		assert.ok(!text.includes(TOKEN));
	};
	await say({ gateway_token: 'wrong' }, undefined, /refuses the token/);
	await say({ gateway_token: '' }, undefined, /not set up/);
	await say({ numbers: ' ' }, undefined, /no telephone number/);
	await say({ gateway_url: 'http://127.0.0.1:1' }, undefined, /does not answer/);
	await say({}, 503, /cannot do that now/);
	await say({}, 403, /Phones cannot join/);
	await say({}, 409, /cannot be done now: the caller is in no room\./);
});

test('the provider makes rooms that the gateway knows, and its info shows number and PIN', async () => {
	const chat = await server({ prefix: 'Acme-', suffix: '.x' });
	const provider = chat.providers.get('Jitsi with phone');
	assert.equal(await provider.isFullyConfigured(chat.read), true);
	const link = await provider.generateUrl({ _id: CALL }, chat.read);
	assert.equal(link, `https://meet.example.org/Acme-${CALL}.x`);
	const joined = await provider.customizeUrl({ _id: CALL, url: link, title: 'Tea & cake #1' }, users.ana, { mic: true, cam: false });
	assert.equal(new URL(joined).pathname, `/Acme-${CALL}.x`);
	assert.match(joined, /#config.callDisplayName=%22Tea%20%26%20cake%20%231%22&config.startWithAudioMuted=false&config.startWithVideoMuted=true&userInfo/);
	const call = await chat.call(CALL, link);
	const blocks = await provider.getVideoConferenceInfo(call, users.ana, chat.read, chat.modify, chat.http);
	assert.match(blocks[0].text.text, /Join by phone[^]*482 913 075/);
	assert.deepEqual(asked, [`POST /v1/pins {"room":"acme-${CALL}.x"}`]);
});

test('the settings are safe, and each permission of the manifest is needed', async () => {
	const chat = await server();
	assert.equal(chat.settings.gateway_token.type, 'password');
	assert.ok(Object.values(chat.settings).every((it) => it.public === false));
	const all = manifest.permissions;
	const engineChecks = ['networking', 'persistence', 'message.write', 'room.read', 'video-conference.read'];
	for (const name of engineChecks) {
		const before = await server();
		manifest.permissions = all.filter((it) => it.name !== name);
		const errors = [];
		const { error } = console;
		console.error = (what) => errors.push(String(what));
		try {
			await before.call(CALL, `https://meet.example.org/RocketChat${CALL}`);
			await before.slash('dialin', 'moe', 'phones');
		} catch {
			// What the app makes of nothing is not the question.
		} finally {
			Object.assign(manifest, { permissions: all });
			console.error = error;
		}
		assert.ok(errors.some((it) => it.includes(name)), `${name} is not needed`);
	}
});

test('the engine takes the package', async () => {
	const { info, files, languageContent, implemented } = await new AppPackageParser().unpackageApp(zipped());
	assert.equal(info.id, manifest.id);
	assert.ok(files['src/WeeBeeApp.js'] && info.iconFileContent.startsWith('data:image/png'));
	assert.deepEqual(Object.keys(languageContent.en).sort(), Object.keys(languageContent.id).sort());
	for (const name of manifest.implements) assert.equal(implemented.getValues()[name], true, name);
	const command = (await server()).commands.get('dialin');
	for (const key of [command.i18nDescription, command.i18nParamsExample]) assert.ok(languageContent.en[key], key);
});
