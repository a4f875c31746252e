// The optional Rocket.Chat app of the WeeBee gateway: see README.md.

import type {
	IConfigurationExtend,
	IHttp,
	IModify,
	IPersistence,
	IRead,
} from '@rocket.chat/apps-engine/definition/accessors';
import { App } from '@rocket.chat/apps-engine/definition/App';
import type { IMessage, IPostSystemMessageSent } from '@rocket.chat/apps-engine/definition/messages';
import type { IUIKitInteractionHandler, IUIKitResponse, UIKitBlockInteractionContext } from '@rocket.chat/apps-engine/definition/uikit';

import { DialInCommand } from './DialInCommand';
import { Gateway } from './Gateway';
import { JitsiProvider } from './JitsiProvider';
import { callOf, remember } from './meetings';
import { pressed } from './phones';
import { roomOf } from './rooms';
import { SETTINGS, settings } from './settings';

export class WeeBeeApp extends App implements IPostSystemMessageSent, IUIKitInteractionHandler {
	protected async extendConfiguration(configuration: IConfigurationExtend): Promise<void> {
		await Promise.all(SETTINGS.map((setting) => configuration.settings.provideSetting(setting)));
		await configuration.slashCommands.provideSlashCommand(new DialInCommand());
		await configuration.videoConfProviders.provideVideoConfProvider(new JitsiProvider());
	}

	/** System messages alone are told here: no text of a person is read. */
	public async executePostSystemMessageSent(message: IMessage, _read: IRead, _http: IHttp, persistence: IPersistence): Promise<void> {
		const call = callOf(message);
		if (call) await remember(message.room.id, call, persistence);
	}

	public async executeBlockActionHandler(
		context: UIKitBlockInteractionContext,
		read: IRead,
		http: IHttp,
		_persistence: IPersistence,
		modify: IModify,
	): Promise<IUIKitResponse> {
		const set = await settings(read.getEnvironmentReader().getSettings());
		const gateway = new Gateway(http, set);
		await pressed(context.getInteractionData(), gateway, (call) => roomOf(call.url ?? '', set), read, modify);
		return context.getInteractionResponder().successResponse();
	}
}
