import { ClusterTrustBundle } from '#api/certificates/v1beta1/cluster-trust-bundle.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { Service } from '#api/core/v1/service.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { RuntimeClass } from '#api/node/v1/runtime-class.ts';
import type { TokenRequest } from '#api/authentication/v1/token-request.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { labelSelectorMatches } from '#api/machinery/selector.ts';
import { timeMs } from '#api/machinery/time.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Client } from '#client/client.ts';
import { openInformer, type Informer } from '#client/informer.ts';
import type { IssuedToken, TokenWish, TrustWish, VolumeObjects } from '#volumes/plugin.ts';
import { renewAtMs } from '#volumes/plugins/projected.ts';
import type { EnvironmentSources } from './env/environment.ts';

export interface ObjectsOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly node: () => Node | undefined;
  /** An object that the pod with this uid uses has changed. */
  readonly changed: (podUid: string) => void;
}

interface Watched {
  readonly informer: Informer<ApiObject>;
  readonly abort: AbortController;
  readonly users: Set<string>;
}

/**
 * What pods are made from, read from the API. Each ConfigMap and Secret that some pod of the node uses is watched on
 * its own: a node may not see the others.
 */
export class Objects implements Disposable {
  readonly #options: ObjectsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #tokens = new Map<string, IssuedToken>();
  readonly #services: Informer<Service>;
  readonly #abort = new AbortController();

  constructor(options: ObjectsOptions) {
    this.#options = options;
    const { client, clock, random, log } = options;
    this.#services = openInformer(client, Service, { clock, random, log }, this.#abort.signal);
  }

  /** Until the Services are known, no container can be given its environment. */
  get synced(): Promise<void> {
    return this.#services.synced;
  }

  get services(): Informer<Service> {
    return this.#services;
  }

  /** The view of one pod: what it reads is watched until `release`. */
  forPod(pod: Pod): EnvironmentSources & VolumeObjects {
    const uid = pod.metadata.uid ?? '';
    return {
      configMap: (namespace, name) => this.#read(uid, ConfigMap, namespace, name),
      secret: (namespace, name) => this.#read(uid, Secret, namespace, name),
      claim: (namespace, name) => this.#get(PersistentVolumeClaim, name, namespace),
      persistentVolume: name => this.#get(PersistentVolume, name),
      token: (owner, wish) => this.#token(owner, wish),
      trustBundles: wish => this.#trustBundles(uid, wish),
      node: this.#options.node,
      services: namespace => this.#services.inNamespace(namespace).values(),
    };
  }

  /** What the RuntimeClass of that name means to the runtime. */
  async runtimeHandler(className: string): Promise<string> {
    return (await this.#options.client.get(RuntimeClass, className)).handler;
  }

  /** The pod is gone: nobody watches for it any more. */
  release(uid: string): void {
    for (const [key, watched] of this.#watched) {
      if (!watched.users.delete(uid) || watched.users.size > 0) continue;
      watched.abort.abort(new Error('no pod uses it any more'));
      this.#watched.delete(key);
    }
    for (const key of this.#tokens.keys()) if (key.startsWith(`${uid}/`)) this.#tokens.delete(key);
  }

  [Symbol.dispose](): void {
    this.#abort.abort(new Error('the node agent was stopped'));
    for (const { abort } of this.#watched.values()) abort.abort(new Error('the node agent was stopped'));
  }

  async #read<Type extends ApiObject>(
    uid: string,
    kind: Kind<Type>,
    namespace: string,
    name: string,
  ): Promise<Type | undefined> {
    if (name === '') return undefined;
    const key = `${kind.plural}/${namespace}/${name}`;
    const watched = this.#watched.get(key) ?? this.#watch(key, kind, namespace, name);
    watched.users.add(uid);
    await watched.informer.synced;
    return watched.informer.get(name, namespace) as Type | undefined;
  }

  #watch(key: string, kind: Kind, namespace: string, name: string): Watched {
    return this.#watchAll(key, kind, { namespace, fieldSelector: `metadata.name=${name}` });
  }

  #watchAll(
    key: string,
    kind: Kind,
    selection: { readonly namespace?: string; readonly fieldSelector?: string },
  ): Watched {
    const { client, clock, random, log, changed } = this.#options;
    const abort = new AbortController();
    const informer = openInformer(client, kind, { ...selection, clock, random, log }, abort.signal);
    const watched = { informer, abort, users: new Set<string>() };
    const tell = () => watched.users.forEach(changed);
    informer.subscribe({
      added: (_object, initial) => initial || tell(),
      updated: tell,
      deleted: tell,
    });
    this.#watched.set(key, watched);
    return watched;
  }

  /** All bundles are watched as soon as a pod wants some: which ones it means may change. */
  async #trustBundles(uid: string, wish: TrustWish): Promise<readonly ClusterTrustBundle[]> {
    const key = `${ClusterTrustBundle.plural}/`;
    // A watch would wait for a version that may never be served.
    if (!this.#watched.has(key)) await this.#options.client.list(ClusterTrustBundle, { limit: 1 });
    const watched = this.#watched.get(key) ?? this.#watchAll(key, ClusterTrustBundle, {});
    watched.users.add(uid);
    await watched.informer.synced;
    if ('name' in wish) return [watched.informer.get(wish.name)].filter(each => each !== undefined) as never;
    // Without a selector there is none; an empty one takes all of the signer's.
    const { signerName, labelSelector } = wish;
    const bundles = [...watched.informer.objects.values()] as unknown as readonly ClusterTrustBundle[];
    return bundles.filter(
      ({ metadata, spec }) =>
        spec.signerName === signerName &&
        labelSelector !== undefined &&
        labelSelectorMatches(labelSelector, metadata.labels),
    );
  }

  async #get<Type extends ApiObject>(kind: Kind<Type>, name: string, namespace?: string): Promise<Type | undefined> {
    try {
      return await this.#options.client.get(kind, name, { ...(namespace !== undefined && { namespace }) });
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async #token(pod: Pod, { audience, expirationSeconds }: TokenWish): Promise<IssuedToken> {
    const { client, clock } = this.#options;
    const { name, uid, namespace = '' } = pod.metadata;
    const key = `${uid}/${audience ?? ''}/${expirationSeconds}`;
    const known = this.#tokens.get(key);
    const nowMs = clock.now();
    if (known && nowMs < renewAtMs(known.issuedMs, known.expiresMs)) return known;
    const account = pod.spec?.serviceAccountName ?? 'default';
    const spec = {
      audiences: audience === undefined || audience === '' ? [] : [audience],
      expirationSeconds,
      boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
    };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: {}, spec };
    try {
      const { status } = await client.createSubresource<object, TokenRequest>(ServiceAccount, account, 'token', body, {
        namespace,
      });
      const issued = {
        token: status?.token ?? '',
        issuedMs: nowMs,
        expiresMs: timeMs(status?.expirationTimestamp ?? '') || nowMs + expirationSeconds * 1000,
      };
      this.#tokens.set(key, issued);
      return issued;
    } catch (error) {
      // A token that still works is better than none.
      if (known && nowMs < known.expiresMs) return known;
      throw new Error(`failed to fetch token: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
}
