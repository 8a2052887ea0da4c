import { nameSuffix } from '#base/random.ts';
import type { Draft } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { Informer } from '#client/informer.ts';
import { podReferences } from '#auth/authorization/pod-references.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, forbidden, isOf, objectOf } from '../request.ts';
import { find, type Sources, withFound } from '../sources.ts';

const tokenDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';
const tokenVolumePrefix = 'kube-api-access-';
/** What a token is asked for; node agents renew it long before. */
const tokenSeconds = 60 * 60 + 7;
/** A new namespace gets its `default` account from a controller: pods wait for it. */
const defaultAccountWaitMs = 1_500;

/** Every pod runs as a service account, which brings its image pull secrets and a token volume. */
export function serviceAccount(sources: Sources): AdmissionPlugin {
  const accounts = sources.informers.of(ServiceAccount);
  return {
    name: 'ServiceAccount',
    handles: request =>
      concerns(request, Pod, 'CREATE') ||
      (isOf(request, Pod) && request.operation === 'UPDATE' && request.subresource === 'ephemeralcontainers'),
    admit(request) {
      if (request.operation !== 'CREATE') return undefined;
      const pod = draftOf(Pod, request);
      const { spec } = pod;
      // A mirror pod is what a node says it runs already.
      if (isMirror(pod) || !spec) return undefined;
      spec.serviceAccountName = spec.serviceAccountName || 'default';
      spec.serviceAccount = spec.serviceAccountName;
      return withFound(accountOf(sources, accounts, request, spec.serviceAccountName), account => {
        const automount = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
        if (automount) mountToken(pod, sources);
        if ((spec.imagePullSecrets?.length ?? 0) === 0 && account.imagePullSecrets)
          spec.imagePullSecrets = account.imagePullSecrets.map(each => ({ ...each }));
      });
    },
    validate(request) {
      const pod = objectOf(Pod, request);
      if (isMirror(pod)) return checkMirror(request, pod);
      return withFound(accountOf(sources, accounts, request, pod.spec?.serviceAccountName || 'default'), account => {
        if (account.metadata.annotations?.['kubernetes.io/enforce-mountable-secrets'] === 'true')
          checkSecrets(request, pod, account);
      });
    },
  };
}

function accountOf(
  sources: Sources,
  accounts: Informer<ServiceAccount>,
  request: AdmissionRequest,
  name: string,
): Promise<ServiceAccount> | ServiceAccount {
  return accounts.get(name, request.namespace) ?? accountAsked(sources, accounts, request, name);
}

async function accountAsked(
  sources: Sources,
  accounts: Informer<ServiceAccount>,
  request: AdmissionRequest,
  name: string,
): Promise<ServiceAccount> {
  const { namespace } = request;
  const found =
    (await find(sources, accounts, name, namespace)) ??
    (name === 'default' ? await appearing(sources, accounts, namespace, request.signal) : undefined);
  if (found) return found;
  throw forbidden(
    request,
    `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
  );
}

/** The `default` account, once it comes. */
async function appearing(
  { clock }: Sources,
  accounts: Informer<ServiceAccount>,
  namespace: string,
  signal: AbortSignal,
): Promise<ServiceAccount | undefined> {
  const over = new AbortController();
  const { promise, resolve } = Promise.withResolvers<ServiceAccount | undefined>();
  const unsubscribe = accounts.subscribe({
    added(account) {
      if (account.metadata.name === 'default' && account.metadata.namespace === namespace) resolve(account);
    },
  });
  const cancel = clock.after(defaultAccountWaitMs, () => resolve(undefined));
  signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: over.signal });
  try {
    return await promise;
  } finally {
    unsubscribe();
    cancel();
    over.abort();
  }
}

function mountToken(pod: Draft<Pod>, { random }: Sources): void {
  const { spec } = pod;
  if (!spec) return;
  const volumes = spec.volumes ?? [];
  const present = volumes.find(each => each.name.startsWith(tokenVolumePrefix));
  const name = present?.name ?? freshName(volumes, () => `${tokenVolumePrefix}${nameSuffix(random)}`);
  let needed = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    if (container.volumeMounts?.some(each => each.mountPath === tokenDirectory)) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: tokenDirectory }];
    needed = true;
  }
  if (needed && !present) spec.volumes = [...volumes, tokenVolume(name)];
}

function freshName(volumes: readonly { readonly name: string }[], propose: () => string): string {
  for (;;) {
    const name = propose();
    if (!volumes.some(each => each.name === name)) return name;
  }
}

function tokenVolume(name: string) {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

function isMirror({
  metadata,
}: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> | undefined };
}): boolean {
  return metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
}

function checkMirror(request: AdmissionRequest, pod: Pod): void {
  if (pod.spec?.serviceAccountName) throw forbidden(request, 'a mirror pod may not reference service accounts');
  if (podReferences(pod).secrets.size > 0) throw forbidden(request, 'a mirror pod may not reference secrets');
  for (const volume of pod.spec?.volumes ?? [])
    if (volume.projected?.sources?.some(source => source.serviceAccountToken))
      throw forbidden(request, 'a mirror pod may not use ServiceAccountToken volume projections');
}

/** With the annotation a pod may use the account's own secrets only. */
function checkSecrets(request: AdmissionRequest, pod: Pod, account: ServiceAccount): void {
  const mountable = new Set((account.secrets ?? []).map(each => each.name ?? ''));
  const pullable = new Set((account.imagePullSecrets ?? []).map(each => each.name ?? ''));
  const pulled = new Set((pod.spec?.imagePullSecrets ?? []).map(each => each.name ?? ''));
  const why = `because service account ${account.metadata.name} does not reference that secret`;
  for (const name of pulled)
    if (!pullable.has(name))
      throw forbidden(request, `imagePullSecrets[0].name="${name}" is not allowed ${why} as an imagePullSecret`);
  for (const volume of pod.spec?.volumes ?? [])
    if (volume.secret?.secretName && !mountable.has(volume.secret.secretName))
      throw forbidden(request, `volume with secret.secretName="${volume.secret.secretName}" is not allowed ${why}`);
  for (const name of podReferences(pod).secrets)
    if (!mountable.has(name) && !pulled.has(name))
      throw forbidden(request, `a reference to secret "${name}" is not allowed ${why}`);
}
