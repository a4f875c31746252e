// The app in the Apps-Engine's own accessors (1.62.0), which check the permissions of app.json at each door; behind them bridges in
// memory stand for the server. Requests to the gateway go out by HTTP for real.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const engine = (path) => require(`@rocket.chat/apps-engine/${path}`);
const bridge = (name) => engine(`server/bridges/${name}`)[name];
const accessor = (name) => engine(`server/accessors/${name}`)[name];
const { AppManager } = engine('server/AppManager');
const { SlashCommandContext } = engine('definition/slashcommands');
const { UIKitBlockInteractionContext } = engine('definition/uikit');

export const manifest = JSON.parse(readFileSync(new URL('../app.json', import.meta.url)));
const APP = manifest.id;
AppManager.Instance = { getPermissionsById: () => manifest.permissions };

export const users = {
	ana: { id: 'ana', username: 'ana', name: 'Ana "A/B"', roles: ['user'] },
	eve: { id: 'eve', username: 'eve', name: 'Eve', roles: ['user'] },
	moe: { id: 'moe', username: 'moe', name: 'Moe', roles: ['user'] },
};
export const room = { id: 'GENERAL', slugifiedName: 'general', displayName: 'general', type: 'c' };

/** One server with the app on it. `set` are its settings. */
export class Server {
	constructor(AppClass, set) {
		this.calls = new Map();
		this.told = [];
		this.kept = [];
		this.requests = [];
		this.set = set;
		this.commands = new Map();
		this.providers = new Map();
		this.settings = {};
		this.app = new AppClass(manifest, { debug() {}, info() {}, log() {}, warn() {}, error() {} });
		this.#open();
	}

	async start() {
		const { settings, commands, providers } = this;
		await this.app.extendConfiguration({
			settings: { provideSetting: async (it) => void (settings[it.id] = { ...it }) },
			slashCommands: { provideSlashCommand: async (it) => void commands.set(it.command, it) },
			videoConfProviders: { provideVideoConfProvider: async (it) => void providers.set(it.name, it) },
		});
		for (const [id, value] of Object.entries(this.set)) {
			if (!settings[id]) throw new Error(`the app has no setting ${id}`);
			settings[id].value = value;
		}
		return this;
	}

	/** A call with its message, as the server tells the app. */
	async call(id, url, more = {}) {
		const call = { _id: id, type: 'videoconference', rid: room.id, users: [], status: 1, messages: {}, url, createdBy: { _id: 'ana' }, createdAt: new Date(), ...more };
		this.calls.set(id, call);
		const message = { id: `m${id}`, room, sender: users.ana, text: '', blocks: [{ type: 'video_conf', callId: id, blockId: id, appId: 'videoconf-core' }] };
		await this.app.executePostSystemMessageSent(message, this.read, this.http, this.persistence, this.modify);
		return call;
	}

	/** What a user is told for a slash command: one message. */
	async slash(name, user, ...words) {
		return this.#heard(() => this.commands.get(name).executor(new SlashCommandContext(users[user], room, words), this.read, this.modify, this.http, this.persistence));
	}

	/** What a user is told for a button: one message. */
	async press(button, user) {
		const data = { appId: APP, user: users[user], actionId: button.actionId, value: button.value, blockId: 'b', triggerId: 't', room, container: { type: 'message', id: 'x' } };
		return this.#heard(async () => {
			const answer = await this.app.executeBlockActionHandler(new UIKitBlockInteractionContext(data), this.read, this.http, this.persistence, this.modify);
			if (answer.success !== true) throw new Error('the press failed');
		});
	}

	async #heard(work) {
		const before = this.told.length;
		await work();
		if (this.told.length !== before + 1) throw new Error(`told ${this.told.length - before} messages`);
		return this.told.at(-1);
	}

	#open() {
		const server = this;
		const bridges = {
			getHttpBridge: () => new (class extends bridge('HttpBridge') {
				async call({ method, url, request }) {
					server.requests.push({ method, url, request });
					const body = request.data && JSON.stringify(request.data);
					const headers = { ...request.headers, ...(body && { 'Content-Type': 'application/json' }) };
					const answer = await fetch(url, { method: method.toUpperCase(), headers, body, signal: AbortSignal.timeout(request.timeout) });
					const content = await answer.text();
					const isJson = answer.headers.get('content-type')?.includes('json');
					return { url, method, statusCode: answer.status, content, ...(isJson && content && { data: JSON.parse(content) }) };
				}
			})(),
			getMessageBridge: () => new (class extends bridge('MessageBridge') {
				async notifyUser(user, message) {
					server.told.push({ to: user.id, text: message.text, blocks: message.blocks ?? [], room: message.room.id });
				}
			})(),
			getUserBridge: () => new (class extends bridge('UserBridge') {
				async getAppUser() {
					return { id: 'app', username: 'weebee-dial-in.bot' };
				}
			})(),
		};
		const rooms = new (class extends bridge('RoomBridge') {
			async getModerators() {
				return [users.moe];
			}
			async getOwners() {
				return [];
			}
		})();
		const persistence = new (class extends bridge('PersistenceBridge') {
			async createWithAssociations(data, [association]) {
				server.kept.push({ key: association.getID(), data });
				return 'id';
			}
			async removeByAssociations([association]) {
				server.kept = server.kept.filter((it) => it.key !== association.getID());
				return [];
			}
			async readByAssociations([association]) {
				return server.kept.filter((it) => it.key === association.getID()).map((it) => it.data);
			}
		})();
		const conferences = new (class extends bridge('VideoConferenceBridge') {
			async getById(id) {
				return server.calls.get(id);
			}
		})();
		const none = new Proxy({}, { get: (_, name) => () => { throw new Error(`the app needs nothing of ${String(name)}`); } });
		const all = new Proxy(bridges, { get: (some, name) => some[name] ?? (() => none) });
		const setting = new (accessor('SettingRead'))({ getStorageItem: () => ({ settings: server.settings }) });
		this.modify = new (accessor('Modify'))(all, APP);
		this.persistence = new (accessor('Persistence'))(persistence, APP);
		const extend = new (accessor('HttpExtend'))();
		this.http = new (accessor('Http'))({ getReader: () => none, getPersistence: () => none }, all, extend, APP);
		this.read = new (accessor('Reader'))(
			new (accessor('EnvironmentRead'))(setting, none, none), none, new (accessor('PersistenceRead'))(persistence, APP),
			new (accessor('RoomRead'))(rooms, APP), none, none, none, none, none, new (accessor('VideoConferenceRead'))(conferences, APP), none, none, none, none, none,
		);
	}
}

/** The buttons of a message, by what they do. */
export const buttons = (message) => Object.fromEntries(message.blocks.flatMap((block) => block.elements ?? []).map((it) => [it.actionId, it]));
