// From the address of a call to the name of its Jitsi room. As gateway-daemon/src/rocketchat/room.rs reads it: another host, prefix or
// suffix, or a tenant's room, is none of ours.

import type { Settings } from './settings';

export function roomOf(url: string, settings: Settings): string | undefined {
	const [, host, path] = url.match(/^https?:\/\/(?:[^/?#@]*@)?([^/?#]*)\/([^?#]*)/i) ?? [];
	const [, wanted] = settings.jitsi.match(/^https?:\/\/([^/?#]*)/i) ?? [];
	if (!host || !path || !wanted || hostname(host) !== hostname(wanted)) return undefined;
	const parts = path.split('/').filter((part) => part !== '');
	if (parts.length !== 1) return undefined;
	const room = decoded(parts[0]).toLowerCase();
	const [prefix, suffix] = [settings.prefix.toLowerCase(), settings.suffix.toLowerCase()];
	const isOurs = room.startsWith(prefix) && room.endsWith(suffix) && room.length > prefix.length + suffix.length;
	return isOurs ? room : undefined;
}

const hostname = (host: string) => host.toLowerCase().replace(/:\d+$/, '');

/** What is no escape stays: people may name a room `100%`. */
function decoded(name: string): string {
	try {
		return decodeURIComponent(name);
	} catch {
		return name;
	}
}
