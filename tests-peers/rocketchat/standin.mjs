// A stand-in for a Rocket.Chat server: as much of REST, DDP and webhooks as the gateway meets, in memory, on loopback.
//
// It is no Rocket.Chat. What keeps it honest: each request it gets is judged by the official validators of
// @rocket.chat/rest-typings, each message, call, room and user it gives by the official schemas of
// @rocket.chat/core-typings, and the official @rocket.chat/ddp-client talks to it (client.mjs). A verdict that is not good
// ends in GET /standin/faults, which the test wants empty.
//
// usage: node standin.mjs ORACLES.cjs PORT GENERATION(7|8)
// The test moves it by POST /standin/...: start, say, drop, refuse; and looks at GET /standin/requests, messages, faults.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [, , oraclesPath, portText, generation] = process.argv;
const { rest, schemas, Ajv, addFormats, WebSocketServer } = createRequire(import.meta.url)(oraclesPath);

const SITE = `http://127.0.0.1:${portText}`;
const TOKEN = 'token-of-the-dial-in-bot-0123456789abcdefgh';
const now = () => new Date().toISOString();
const users = {
	dialinbotdialinbo: { _id: 'dialinbotdialinbo', username: 'dialin', name: 'Dial-in', type: 'bot', roles: ['user', 'bot'] },
	anaanaanaanaanaan: { _id: 'anaanaanaanaanaan', username: 'ana', name: 'Ana', type: 'user', roles: ['user', 'moderator'] },
	eveeveeveeveeveev: { _id: 'eveeveeveeveeveev', username: 'eve', name: 'Eve', type: 'user', roles: ['user'] },
};
for (const user of Object.values(users)) Object.assign(user, { createdAt: now(), _updatedAt: now(), active: true, services: {}, status: 'online' });
const room = (_id, name, t = 'c') => ({ _id, t, name, fname: name, msgs: 0, usersCount: 2, u: { _id: 'anaanaanaanaanaan', username: 'ana' }, ts: now(), _updatedAt: now(), ro: false, sysMes: true, default: false });
const rooms = new Map([['GENERAL', room('GENERAL', 'general')], ['ROOM2ROOM2ROOM2RO', room('ROOM2ROOM2ROOM2RO', 'tea', 'p')]]);
const calls = new Map();
const messages = new Map();
const integrations = [];
const requests = [];
const faults = [];
const refuse = new Map();
let serial = 0;
const hex = () => (0x665700000000 + ++serial).toString(16).padStart(12, '0').padEnd(24, '0');

// ---- oracles

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: 'core', ...schemas });
const validators = new Map();
function holds(name, value) {
	if (!schemas.components.schemas[name]) return faults.push(`core-typings has no schema ${name}`);
	if (!validators.has(name)) validators.set(name, ajv.compile({ $ref: `core#/components/schemas/${name}` }));
	const validate = validators.get(name);
	if (!validate(value)) faults.push(`answer is no ${name}: ${ajv.errorsText(validate.errors).slice(0, 400)}`);
	return value;
}
const REQUESTS = {
	'GET video-conference.info': 'isVideoConfInfoProps',
	'GET video-conference.list': 'isVideoConfListProps',
	'GET users.info': 'isUsersInfoParamsGetProps',
	'GET rooms.info': 'isRoomsInfoProps',
	'GET integrations.list': 'isIntegrationsListProps',
	'POST chat.sendMessage': 'isChatSendMessageProps',
	'POST chat.postMessage': 'isChatPostMessageProps',
	'POST chat.update': 'isChatUpdateProps',
	'POST chat.delete': 'isChatDeleteProps',
	'POST integrations.create': 'isIntegrationsCreateProps',
	// The package has no validator for these: typed only. What we send is checked by hand.
	'GET me': null,
	'GET info': null,
	'GET rooms.get': (query) => !Number.isNaN(Date.parse(query.updatedSince)),
};
function judge(key, parameters) {
	if (!(key in REQUESTS)) return faults.push(`request nobody expects: ${key}`);
	const name = REQUESTS[key];
	if (name === null) return;
	if (typeof name === 'function') return name(parameters) || faults.push(`${key}: ${JSON.stringify(parameters)}`);
	const validate = rest[name];
	if (!validate) return faults.push(`rest-typings has no ${name}`);
	if (!validate(structuredClone(parameters))) faults.push(`${key} refused by ${name}: ${JSON.stringify(validate.errors).slice(0, 400)}`);
}

// ---- the workspace

const brief = (user) => ({ _id: user._id, username: user.username, name: user.name });
function keep(message) {
	const full = { urls: [], mentions: [], channels: [], ...message, ts: message.ts ?? now(), _updatedAt: now() };
	if (generation === '8') Object.assign(full, { md: full.msg ? [{ type: 'PARAGRAPH', value: [{ type: 'PLAIN_TEXT', value: full.msg }] }] : [], someFieldOfLater: { nested: [1] } });
	messages.set(full._id, full);
	const { someFieldOfLater, md, ...known } = full;
	holds('IMessage', known);
	broadcast(full);
	return full;
}
function startCall({ rid = 'GENERAL', user = 'anaanaanaanaanaan', prefix = 'RocketChat', host = 'meet.test', name, provider = 'jitsi' }) {
	const _id = hex();
	const message = `msg${_id.slice(0, 14)}`;
	const call = {
		_id, rid, type: 'videoconference', title: 'A call', anonymousUsers: 0, users: [{ ...brief(users[user]), avatarETag: 'x', ts: now() }],
		status: 1, messages: { started: message }, url: `https://${host}/${prefix}${name ?? _id}`, createdBy: brief(users[user]),
		createdAt: now(), _updatedAt: now(), providerName: provider, ringing: false,
	};
	calls.set(_id, call);
	rooms.get(rid)._updatedAt = now();
	keep({
		_id: message, rid, t: 'videoconf', msg: '', groupable: false, u: brief(users[user]),
		blocks: [{ type: 'video_conf', callId: _id, blockId: _id, appId: 'videoconf-core' }],
	});
	return call;
}
const bad = (error, status = 400, more = {}) => ({ status, body: { success: false, error, ...more } });
const good = (body = {}) => ({ status: 200, body: { ...body, success: true } });
const mine = (message) => message?.u._id === 'dialinbotdialinbo';

const endpoints = {
	'GET me': () => good(users.dialinbotdialinbo),
	'GET info': () => good({ version: generation === '7' ? '7.10.0' : '8.8.1' }),
	'GET video-conference.info': ({ callId }) => {
		const call = calls.get(callId);
		if (!call) return bad('invalid-params');
		holds('IGroupVideoConference', call);
		const more = generation === '8' ? { sipAlias: '12345678', webrtcParticipantCount: 1, users: call.users.map((it) => ({ ...it, joined: true })) } : {};
		return good({ ...call, ...more, capabilities: { mic: true, cam: true, title: true } });
	},
	'GET video-conference.list': ({ roomId }) => {
		const data = [...calls.values()].filter((call) => call.rid === roomId).reverse();
		data.forEach((call) => holds('IGroupVideoConference', call));
		return good({ data, count: data.length, offset: 0, total: data.length });
	},
	'GET rooms.get': ({ updatedSince }) => {
		const update = [...rooms.values()].filter((it) => it._updatedAt >= new Date(updatedSince).toISOString());
		update.forEach((it) => holds('IRoom', it));
		return good({ update, remove: [] });
	},
	'GET rooms.info': ({ roomName }) => {
		const found = [...rooms.values()].find((it) => it.name === roomName);
		return found ? good({ room: holds('IRoom', found) }) : bad('error-room-not-found', 400, { errorType: 'error-room-not-found' });
	},
	'GET users.info': ({ userId }) => (users[userId] ? good({ user: users[userId] }) : bad('User not found.')),
	'GET integrations.list': () => good({ integrations, count: integrations.length, offset: 0, items: integrations.length, total: integrations.length }),
	'POST integrations.create': (body) => {
		const integration = { ...body, _id: `int${++serial}`, _createdAt: now(), _updatedAt: now(), userId: 'dialinbotdialinbo', _createdBy: brief(users.dialinbotdialinbo) };
		integrations.push(integration);
		return good({ integration });
	},
	'POST chat.sendMessage': ({ message }) => {
		if (messages.has(message._id)) return bad('A message with this id exists');
		if (!rooms.has(message.rid) && !message.rid.includes('dialinbotdialinbo')) return bad('error-not-allowed', 400, { errorType: 'error-not-allowed' });
		const kept = keep({ ...message, u: brief(users.dialinbotdialinbo) });
		const parent = messages.get(message.tmid);
		// The server tells the message above again, with the count of its replies.
		if (parent) keep({ ...parent, tcount: (parent.tcount ?? 0) + 1, tlm: now(), replies: ['dialinbotdialinbo'] });
		return good({ message: kept });
	},
	'POST chat.postMessage': ({ channel, text }) => {
		const user = Object.values(users).find((it) => `@${it.username}` === channel);
		if (!user) return bad('invalid-channel', 400, { errorType: 'invalid-channel' });
		const rid = [user._id, 'dialinbotdialinbo'].sort().join('');
		const message = keep({ _id: `post${++serial}`, rid, msg: text, u: brief(users.dialinbotdialinbo) });
		return good({ ts: Date.now(), channel, message });
	},
	'POST chat.update': ({ roomId, msgId, text }) => {
		const message = messages.get(msgId);
		if (!message || message.rid !== roomId) return bad('The room id provided does not match where the message is from.');
		if (!mine(message)) return bad('error-action-not-allowed', 400, { errorType: 'error-action-not-allowed' });
		return good({ message: keep({ ...message, msg: text, editedAt: now(), editedBy: { _id: 'dialinbotdialinbo', username: 'dialin' } }) });
	},
	'POST chat.delete': ({ msgId }) => (mine(messages.get(msgId)) && messages.delete(msgId) ? good({ _id: msgId, ts: Date.now().toString(), message: { _id: msgId } }) : bad('error-action-not-allowed')),
};

// ---- DDP

const dates = (value) => JSON.parse(JSON.stringify(value), (key, it) => (typeof it === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(it) ? { $date: Date.parse(it) } : it));
const sockets = new Set();
function broadcast(message) {
	const roomType = rooms.get(message.rid)?.t ?? 'd';
	for (const socket of sockets) {
		if (!socket.messages) continue;
		const args = [dates(message), { roomParticipant: true, roomType, roomName: rooms.get(message.rid)?.name }];
		socket.say({ msg: 'changed', collection: 'stream-room-messages', id: 'id', fields: { eventName: '__my_messages__', args } });
	}
}
function ddp(socket) {
	socket.say = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
	socket.say({ server_id: '0' });
	socket.pinger = setInterval(() => socket.say({ msg: 'ping' }), 5_000);
	socket.on('close', () => { clearInterval(socket.pinger); sockets.delete(socket); });
	socket.on('message', (data) => {
		const frame = JSON.parse(data.toString());
		if (frame.msg === 'connect') return socket.say({ msg: 'connected', session: 'session' });
		if (frame.msg === 'ping') return socket.say({ msg: 'pong', ...(frame.id && { id: frame.id }) });
		if (frame.msg === 'method' && frame.method === 'login') {
			if (frame.params?.[0]?.resume !== TOKEN || refuse.has('login')) {
				return socket.say({ msg: 'result', id: frame.id, error: { isClientSafe: true, error: 403, reason: "You've been logged out by the server. Please log in again.", errorType: 'Meteor.Error' } });
			}
			socket.known = true;
			socket.say({ msg: 'added', collection: 'users', id: 'dialinbotdialinbo', fields: { username: 'dialin' } });
			socket.say({ msg: 'result', id: frame.id, result: { id: 'dialinbotdialinbo', token: TOKEN, tokenExpires: { $date: Date.now() + 1e9 }, type: 'resume' } });
			return socket.say({ msg: 'updated', methods: [frame.id] });
		}
		if (frame.msg === 'sub') {
			if (!socket.known) return socket.say({ msg: 'nosub', id: frame.id, error: { error: 'not-allowed', reason: 'Not allowed' } });
			if (frame.name === 'stream-room-messages' && frame.params?.[0] === '__my_messages__') socket.messages = true;
			return socket.say({ msg: 'ready', subs: [frame.id] });
		}
		if (frame.msg === 'unsub') return socket.say({ msg: 'nosub', id: frame.id });
		if (frame.msg !== 'pong') faults.push(`frame nobody expects: ${frame.msg}`);
	});
}

// ---- the test's own handles

const standin = {
	'POST start': (body) => startCall(body),
	'POST say': ({ rid = 'GENERAL', user = 'anaanaanaanaanaan', msg }) => keep({ _id: `said${++serial}`, rid, msg, u: brief(users[user]) }),
	'POST drop': () => [...sockets].map((socket) => socket.terminate()).length,
	'POST refuse': ({ what, status = 500 }) => (status ? refuse.set(what, status) : refuse.delete(what)) && {},
	'POST forgive': () => (faults.length = 0) || {},
	'GET faults': () => faults,
	'GET requests': () => requests,
	'GET messages': () => [...messages.values()],
	'GET sockets': () => [...sockets].filter((socket) => socket.messages).length,
	'GET integrations': () => integrations,
};

const server = createServer(async (request, response) => {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	const url = new URL(request.url, SITE);
	const text = Buffer.concat(chunks).toString();
	const body = text ? JSON.parse(text) : undefined;
	const answer = (status, value, headers = {}) => response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(value));
	const own = url.pathname.match(/^\/standin\/(\w+)$/);
	if (own) return answer(200, standin[`${request.method} ${own[1]}`](body ?? {}));
	const name = url.pathname.replace(/^\/api\/(v1\/)?/, '');
	const key = `${request.method} ${name}`;
	const parameters = body ?? Object.fromEntries(url.searchParams);
	requests.push({ at: Date.now(), key, parameters });
	if (!url.pathname.startsWith('/hooks/')) judge(key, parameters);
	if (request.headers['x-auth-token'] !== TOKEN || request.headers['x-user-id'] !== 'dialinbotdialinbo') {
		return answer(401, { status: 'error', message: 'You must be logged in to do this.' });
	}
	if (url.pathname.startsWith('/hooks/')) {
		// No official validator: what processWebhookMessage reads of it.
		const known = ['text', 'roomId', 'channel', 'tmid', 'parseUrls'];
		for (const field of Object.keys(body)) if (!known.includes(field)) faults.push(`webhook field ${field}`);
		if (url.pathname !== '/hooks/hook1/token-of-the-incoming-hook') return answer(404, { success: false, error: 'Invalid integration id or token provided.' });
		if (body.roomId) keep({ _id: `hook${++serial}`, rid: body.roomId, tmid: body.tmid, msg: body.text, u: brief(users.dialinbotdialinbo), bot: { i: 'hook1' } });
		return answer(200, { success: true });
	}
	const status = refuse.get(name);
	if (status === 429) return answer(429, { success: false, error: 'Error, too many requests.' }, { 'X-RateLimit-Reset': String(Date.now() + 1_000) });
	if (status) return answer(status, { success: false, error: 'refused by the test', errorType: 'error-not-allowed' });
	const done = endpoints[key]?.(parameters) ?? bad('no such endpoint', 404);
	answer(done.status, done.body);
});
new WebSocketServer({ server, path: '/websocket' }).on('connection', (socket) => { sockets.add(socket); ddp(socket); });
server.listen(Number(portText), '127.0.0.1', () => console.log('listens'));
