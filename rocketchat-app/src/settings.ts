// What an administrator sets at the app's page. The token is a password there, and is never logged or shown.

import type { ISettingRead } from '@rocket.chat/apps-engine/definition/accessors';
import type { ISetting } from '@rocket.chat/apps-engine/definition/settings';
import { SettingType } from '@rocket.chat/apps-engine/definition/settings';

const text = (id: string, label: string, packageValue: string, description: string, required = true): ISetting => ({
	id,
	type: SettingType.STRING,
	packageValue,
	required,
	public: false,
	i18nLabel: label,
	i18nDescription: description,
});

export const SETTINGS: ISetting[] = [
	text('gateway_url', 'Gateway', '', 'Address of the gateway as this server reaches it, such as https://gateway.example.org.'),
	{ ...text('gateway_token', 'Token', '', 'Content of one of the files of [api] token_files on the gateway.'), type: SettingType.PASSWORD },
	text('numbers', 'Telephone numbers', '', 'Numbers that lead to the gateway, as people should read them, the usual one first; comma between them.'),
	text('jitsi_url', 'Jitsi', 'https://meet.example.org', 'Address of the Jitsi whose meetings phones may join.'),
	text('prefix', 'Prefix of rooms', 'RocketChat', 'As `prefix` of [[rocketchat]] on the gateway, and as in the Jitsi app.', false),
	text('suffix', 'Suffix of rooms', '', 'As `suffix` of [[rocketchat]].', false),
];

export interface Settings {
	gateway: string;
	token: string;
	numbers: string[];
	jitsi: string;
	prefix: string;
	suffix: string;
}

export async function settings(read: ISettingRead): Promise<Settings> {
	const value = async (id: string) => String((await read.getValueById(id)) ?? '').trim();
	const address = async (id: string) => (await value(id)).replace(/\/+$/, '');
	return {
		gateway: await address('gateway_url'),
		token: await value('gateway_token'),
		numbers: (await value('numbers')).split(',').map((number) => number.trim()).filter((number) => number !== ''),
		jitsi: await address('jitsi_url'),
		prefix: await value('prefix'),
		suffix: await value('suffix'),
	};
}
