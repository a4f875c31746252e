// The gateway's REST interface (docs/api.md), as far as the app needs it.

import type { IHttp, IHttpRequest, IHttpResponse } from '@rocket.chat/apps-engine/definition/accessors';

import type { Settings } from './settings';
import { FOREIGN } from './words';

/** A telephone in a meeting, or at its door. */
export interface Phone {
	call: string;
	/** As the gateway shows it: masked, unless its owner says otherwise. */
	label: string;
	muted: boolean;
	waiting: boolean;
}

export type Deed = 'admit' | 'mute' | 'unmute' | 'hangup';

/** Why the gateway did not do it: a sentence for people. */
export class GatewayError extends Error {}

export class Gateway {
	constructor(private readonly http: IHttp, private readonly settings: Settings) {}

	/** The PIN of a room's guests, the same for all who ask. */
	public async pin(room: string): Promise<string> {
		const { pin } = await this.ask('post', '/v1/pins', { room });
		if (typeof pin !== 'string' || !/^\d{4,15}$/.test(pin)) throw new GatewayError('The gateway gave no PIN.');
		return pin;
	}

	public async phones(room: string): Promise<Phone[]> {
		const { calls } = await this.ask('get', `/v1/calls?room=${encodeURIComponent(room)}`);
		const all: any[] = Array.isArray(calls) ? calls : [];
		return all
			.filter((call) => typeof call.id === 'string' && call.kind === 'phone' && String(call.room).toLowerCase() === room)
			.map((call) => ({
				call: call.id,
				label: call.caller ? `Phone ${call.caller}` : 'Phone',
				muted: call.muted === true,
				waiting: call.waiting === true,
			}));
	}

	public async act(call: string, deed: Deed): Promise<void> {
		const path = `/v1/calls/${encodeURIComponent(call)}`;
		if (deed === 'mute' || deed === 'unmute') await this.ask('post', `${path}/mute`, { muted: deed === 'mute' });
		else await this.ask('post', `${path}/${deed}`);
	}

	private async ask(method: 'get' | 'post', path: string, data?: object): Promise<Record<string, unknown>> {
		const { gateway, token } = this.settings;
		if (!gateway || !token) throw new GatewayError('This app is not set up yet: gateway address and token are missing.');
		const request: IHttpRequest = { headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' }, timeout: TIMEOUT_MS };
		if (data) request.data = data;
		let response: IHttpResponse;
		try {
			response = await this.http[method](`${gateway}${path}`, request);
		} catch {
			throw new GatewayError('The gateway does not answer.');
		}
		const { statusCode } = response ?? { statusCode: 0 };
		if (statusCode === 403 && String(body(response).type).endsWith(':not-allowed')) throw new GatewayError(FOREIGN);
		if (statusCode === 401 || statusCode === 403) throw new GatewayError('The gateway refuses the token of this app.');
		if (statusCode === 404) throw new GatewayError('That is over already.');
		if (statusCode === 409) throw new GatewayError(`That cannot be done now: ${reason(response)}.`);
		if (statusCode < 200 || statusCode > 299) throw new GatewayError('The gateway cannot do that now.');
		return body(response);
	}
}

function body({ data, content }: IHttpResponse): Record<string, unknown> {
	if (data && typeof data === 'object') return data;
	try {
		return JSON.parse(content || '{}');
	} catch {
		throw new GatewayError('That is no gateway at the address this app has.');
	}
}

/** What the gateway says of a state that forbids it (RFC 9457). */
function reason(response: IHttpResponse): string {
	const { detail } = body(response);
	return typeof detail === 'string' && detail.length < 200 ? detail : 'the call has changed';
}

/** An app may take 30 s; people wait less. */
const TIMEOUT_MS = 3_000;
