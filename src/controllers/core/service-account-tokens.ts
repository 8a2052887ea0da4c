import { isReason } from '#api/machinery/errors.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { Client } from '#client/client.ts';
import { remove, update } from '../actions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';

const tokenType = 'kubernetes.io/service-account-token';
const nameAnnotation = 'kubernetes.io/service-account.name';
const uidAnnotation = 'kubernetes.io/service-account.uid';

/** Fills the Secrets that ask for a service account's token, and removes those whose account is gone. */
export const serviceAccountTokensController = defineController({
  name: 'serviceaccount-token-controller',
  // It works with the controller manager's own rights: its account would need to read every Secret.
  account: 'kube-controller-manager',
  reconciles: Secret,
  concerns: ({ type, metadata }) => type === tokenType && metadata.deletionTimestamp === undefined,
  reads: {
    account: watched<Secret, ServiceAccount, ServiceAccount | undefined>(
      ServiceAccount,
      accounts =>
        ({ metadata }) =>
          accounts.get(metadata.annotations?.[nameAnnotation] ?? '', metadata.namespace),
      ({ metadata }, _old, secrets, event) =>
        event === 'updated'
          ? []
          : secrets.index('token of service account', tokenOf).get(`${metadata.namespace}/${metadata.name}`).keys(),
    ),
  },
  writes: [Secret],
  async ask(secret, { account, settings, client, signal }): Promise<Filling> {
    const name = secret.metadata.annotations?.[nameAnnotation] ?? '';
    const { namespace = '' } = secret.metadata;
    // The copy may be behind: a Secret is removed only when the account is really not there.
    const there = account ?? (await accountThere(client, name, namespace, signal));
    if (!there || !fits(secret, there)) return { account: undefined };
    if (!settings.accountToken || secret.data?.['token']) return { account: there };
    const { uid = '' } = there.metadata;
    return { account: there, token: await settings.accountToken({ namespace, name, uid }, secret.metadata.name ?? '') };
  },
  decide(secret, { answer, settings }) {
    if (!answer?.account) return [remove(Secret, secret)];
    if (!settings.accountToken) return [];
    const { namespace = '', annotations } = secret.metadata;
    const wanted: Record<string, string> = {
      ...(answer.token !== undefined && { token: encoded(answer.token) }),
      ...(settings.caCertPem !== '' && { 'ca.crt': encoded(settings.caCertPem) }),
      namespace: secret.data?.['namespace'] ?? encoded(namespace),
    };
    const uid = answer.account.metadata.uid ?? '';
    const complete = Object.entries(wanted).every(([key, value]) => secret.data?.[key] === value);
    if (complete && annotations?.[uidAnnotation] === uid) return [];
    return [
      update(Secret, {
        ...secret,
        metadata: { ...secret.metadata, annotations: { ...annotations, [uidAnnotation]: uid } },
        data: { ...secret.data, ...wanted },
      }),
    ];
  },
});

/** The account whose token a Secret holds. */
function tokenOf({ type, metadata }: Secret): string[] {
  return type === tokenType ? [`${metadata.namespace}/${metadata.annotations?.[nameAnnotation] ?? ''}`] : [];
}

interface Filling {
  readonly account: ServiceAccount | undefined;
  readonly token?: string;
}

/** A Secret made for an account of the same name that is gone is not the new one's. */
function fits(secret: Secret, account: ServiceAccount): boolean {
  const uid = secret.metadata.annotations?.[uidAnnotation] ?? '';
  return uid === '' || uid === account.metadata.uid;
}

async function accountThere(
  client: Client,
  name: string,
  namespace: string,
  signal: AbortSignal,
): Promise<ServiceAccount | undefined> {
  try {
    return await client.get(ServiceAccount, name, { namespace, signal });
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}
