// `/dialin`: number and PIN of this room's meeting, for the asker alone. `/dialin phones`: who is on the phone, with buttons.

import type { IHttp, IModify, IRead } from '@rocket.chat/apps-engine/definition/accessors';
import type { ISlashCommand, SlashCommandContext } from '@rocket.chat/apps-engine/definition/slashcommands';

import { explained } from './explained';
import { Gateway } from './Gateway';
import { newest } from './meetings';
import { isInCharge, showPhones } from './phones';
import { roomOf } from './rooms';
import { settings } from './settings';
import { whisper } from './whisper';
import { FOREIGN, invitation, NO_MEETING, NO_NUMBER, NOT_YOURS } from './words';

export class DialInCommand implements ISlashCommand {
	public command = 'dialin';

	public i18nParamsExample = 'dialin_params';

	public i18nDescription = 'dialin_description';

	public providesPreview = false;

	public async executor(context: SlashCommandContext, read: IRead, modify: IModify, http: IHttp): Promise<void> {
		const [user, chatRoom] = [context.getSender(), context.getRoom()];
		const say = (text: string) => whisper(modify, user, chatRoom, text, { thread: context.getThreadId() });
		const set = await settings(read.getEnvironmentReader().getSettings());
		const call = await newest(chatRoom.id, read);
		if (!call) return say(NO_MEETING);
		const room = roomOf(call.url ?? '', set);
		if (!room) return say(FOREIGN);
		const gateway = new Gateway(http, set);
		if (context.getArguments()[0]?.toLowerCase() === 'phones') {
			if (!(await isInCharge(user, call, read))) return say(NOT_YOURS);
			return showPhones(gateway, room, modify, user, chatRoom);
		}
		if (set.numbers.length === 0) return say(NO_NUMBER);
		return say(await explained(async () => invitation(set.numbers, await gateway.pin(room))));
	}
}
