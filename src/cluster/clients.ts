import type { Clock } from '#base/clock.ts';
import { httpsClient, type HttpsClient } from '#client/https.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';

/** A client with the credentials of a kubeconfig file. */
export async function httpsClientFor(kubeconfig: string, clock: Clock): Promise<HttpsClient> {
  const { connection } = await readKubeconfig(kubeconfig);
  return httpsClient({ ...connection, clock });
}
