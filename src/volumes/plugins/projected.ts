import type { ClusterTrustBundleProjection, VolumeProjection } from '#api/core/v1/pod-spec.ts';
import { writeAtomically } from '../atomic-writer.ts';
import { mountMemory } from '../memory.ts';
import { commonUserOf, fsGroupOf } from '../ownership.ts';
import { configMapFiles, downwardFiles, secretFiles, type Payload } from '../payload.ts';
import type { VolumePlugin, VolumeRequest } from '../plugin.ts';

/** Several sources in one directory; tokens are renewed when 80 % of their life, or a day, is over. */
export const projectedPlugin: VolumePlugin = {
  name: 'kubernetes.io~projected',
  handles: volume => volume.projected !== undefined,
  async setUp(request) {
    const { pod, volume, directory, nowMs } = request;
    const { sources = [], defaultMode = 0o644 } = volume.projected ?? {};
    const parts = await Promise.all(sources.map(source => filesOf(source, defaultMode, request)));
    const files: Payload = new Map(parts.flatMap(part => [...part.files]));
    await mountMemory(directory, undefined);
    const hasToken = sources.some(source => source.serviceAccountToken);
    const uid = hasToken ? commonUserOf(pod) : undefined;
    await writeAtomically(directory, files, { uid, gid: fsGroupOf(pod) }, nowMs);
    const renewals = parts.flatMap(part => (part.refreshAtMs === undefined ? [] : [part.refreshAtMs]));
    return {
      kind: 'path',
      path: directory,
      readonly: true,
      ...(renewals.length > 0 && { refreshAtMs: Math.min(...renewals) }),
    };
  },
};

interface Part {
  readonly files: Payload;
  readonly refreshAtMs?: number;
}

async function filesOf(source: VolumeProjection, mode: number, request: VolumeRequest): Promise<Part> {
  const { pod, objects } = request;
  const namespace = pod.metadata.namespace ?? '';
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source;
  if (configMap) {
    const { name = '', items, optional = false } = configMap;
    return { files: configMapFiles(await objects.configMap(namespace, name), { name, items, mode, optional }) };
  }
  if (secret) {
    const { name = '', items, optional = false } = secret;
    return { files: secretFiles(await objects.secret(namespace, name), { name, items, mode, optional }) };
  }
  if (downwardAPI) return { files: downwardFiles(downwardAPI.items, mode, pod, objects.node()) };
  if (serviceAccountToken) {
    const { audience, expirationSeconds, path } = serviceAccountToken;
    const issued = await objects.token(pod, { audience, expirationSeconds });
    const isOwned = commonUserOf(pod) !== undefined || fsGroupOf(pod) !== undefined;
    const content = Buffer.from(issued.token);
    return {
      files: new Map([[path, { content, mode: isOwned ? 0o600 : mode }]]),
      refreshAtMs: renewAtMs(issued.issuedMs, issued.expiresMs),
    };
  }
  if (clusterTrustBundle) {
    const content = Buffer.from(await trustAnchors(clusterTrustBundle, request));
    return { files: new Map([[clusterTrustBundle.path, { content, mode }]]) };
  }
  const [kind = 'unknown'] = Object.keys(source);
  throw new Error(`the projection ${kind} is not supported by this node`);
}

/** All certificates of the bundles, each once; in no order that anybody could rely on, and always the same. */
async function trustAnchors(
  { name, signerName = '', labelSelector, optional = false }: ClusterTrustBundleProjection,
  { objects }: VolumeRequest,
): Promise<string> {
  const bundles = await objects.trustBundles(name === undefined ? { signerName, labelSelector } : { name });
  if (bundles.length === 0 && !optional)
    throw new Error(
      name === undefined
        ? 'combination of signerName and labelSelector matched zero ClusterTrustBundles'
        : `clustertrustbundle.certificates.k8s.io ${JSON.stringify(name)} not found`,
    );
  const blocks = bundles.flatMap(
    ({ spec }) => spec.trustBundle.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [],
  );
  return [...new Set(blocks.map(block => block.replaceAll('\r', '')))]
    .toSorted()
    .map(block => `${block}\n`)
    .join('');
}

/** When a token is to be renewed: upstream's 80 % of its life, at most a day. */
export function renewAtMs(issuedMs: number, expiresMs: number): number {
  return Math.min(issuedMs + (expiresMs - issuedMs) * 0.8, issuedMs + 24 * 3600 * 1000);
}
