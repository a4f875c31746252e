// Jitsi as this workspace's provider of calls, with number and PIN in the call's info. For sites without tokens; a site with tokens
// keeps the official Jitsi app, and /dialin works beside it.

import type { IHttp, IModify, IRead } from '@rocket.chat/apps-engine/definition/accessors';
import type { IBlock } from '@rocket.chat/apps-engine/definition/uikit';
import { BlockType, TextObjectType } from '@rocket.chat/apps-engine/definition/uikit';
import type { ISectionBlock } from '@rocket.chat/apps-engine/definition/uikit/blocks/Blocks';
import type {
	IVideoConferenceOptions,
	IVideoConfProvider,
	VideoConfData,
	VideoConfDataExtended,
} from '@rocket.chat/apps-engine/definition/videoConfProviders';
import type { VideoConference } from '@rocket.chat/apps-engine/definition/videoConferences/IVideoConference';
import type { IVideoConferenceUser } from '@rocket.chat/apps-engine/definition/videoConferences/IVideoConferenceUser';

import { explained } from './explained';
import { Gateway } from './Gateway';
import { roomOf } from './rooms';
import { settings } from './settings';
import { FOREIGN, invitation } from './words';

export class JitsiProvider implements IVideoConfProvider {
	public name = 'Jitsi with phone';

	public capabilities = { mic: true, cam: true, title: true };

	public async isFullyConfigured(read: IRead): Promise<boolean> {
		const { jitsi, gateway, token, numbers } = await settings(read.getEnvironmentReader().getSettings());
		return Boolean(jitsi && gateway && token && numbers.length > 0);
	}

	public async generateUrl(call: VideoConfData, read: IRead): Promise<string> {
		const { jitsi, prefix, suffix } = await settings(read.getEnvironmentReader().getSettings());
		return `${jitsi}/${encodeURIComponent(`${prefix}${call._id}${suffix}`)}`;
	}

	public async customizeUrl(call: VideoConfDataExtended, user?: IVideoConferenceUser, options?: IVideoConferenceOptions): Promise<string> {
		const wishes = [
			...(call.title ? [`config.callDisplayName=${quoted(call.title)}`] : []),
			`config.startWithAudioMuted=${options?.mic === false}`,
			`config.startWithVideoMuted=${options?.cam === false}`,
			...(user ? [`userInfo.displayName=${quoted(user.name)}`] : []),
			'config.prejoinConfig.enabled=false',
		];
		return `${call.url}#${wishes.join('&')}`;
	}

	public async getVideoConferenceInfo(
		call: VideoConference,
		_user: IVideoConferenceUser | undefined,
		read: IRead,
		_modify: IModify,
		http: IHttp,
	): Promise<IBlock[]> {
		const set = await settings(read.getEnvironmentReader().getSettings());
		const room = roomOf(call.url ?? '', set);
		const phone = room ? await explained(async () => invitation(set.numbers, await new Gateway(http, set).pin(room))) : FOREIGN;
		return [section(`*Join by phone*\n${phone}`), section(`Link: ${call.url ?? ''}`)];
	}
}

const section = (text: string): ISectionBlock => ({ type: BlockType.SECTION, text: { type: TextObjectType.MARKDOWN, text } });

const quoted = (text: string) => encodeURIComponent(JSON.stringify(text));
