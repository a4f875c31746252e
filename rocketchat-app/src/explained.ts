import { GatewayError } from './Gateway';
import { FAILED } from './words';

/** What it says, or the sentence that says why not. Nothing of an unexpected error is shown: it could hold a token. */
export async function explained(work: () => Promise<string>): Promise<string> {
	try {
		return await work();
	} catch (error) {
		return error instanceof GatewayError ? error.message : FAILED;
	}
}
