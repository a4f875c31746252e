// The official DDP client against the stand-in: log in, hear a call, ask REST about it. Prints `good` at the end.
// usage: node client.mjs ORACLES.cjs PORT

import { createRequire } from 'node:module';

const [, , oraclesPath, port] = process.argv;
const { DDPSDK, WebSocket } = createRequire(import.meta.url)(oraclesPath);
globalThis.WebSocket = WebSocket;
const site = `http://127.0.0.1:${port}`;
const token = 'token-of-the-dial-in-bot-0123456789abcdefgh';

const sdk = await DDPSDK.createAndConnect(`ws://127.0.0.1:${port}`);
await sdk.account.loginWithToken(token);
const heard = new Promise((resolve) => {
	const stream = sdk.client.subscribe('stream-room-messages', '__my_messages__', { useCollection: false, args: [] });
	sdk.client.onCollection('stream-room-messages', (frame) => resolve(frame.fields.args[0]));
	stream.ready().then(() => fetch(`${site}/standin/start`, { method: 'POST', body: '{}' }));
});
const message = await heard;
if (message.t !== 'videoconf') throw new Error(`heard ${message.t}`);
const headers = { 'X-Auth-Token': token, 'X-User-Id': 'dialinbotdialinbo' };
const call = await (await fetch(`${site}/api/v1/video-conference.info?callId=${message.blocks[0].callId}`, { headers })).json();
if (!call.url.startsWith('https://meet.test/RocketChat')) throw new Error(`url ${call.url}`);
console.log('good');
process.exit(0);
