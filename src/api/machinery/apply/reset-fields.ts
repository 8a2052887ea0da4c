import { resourceNameOf, type Kind } from '../kind.ts';
import { childOf, isMember, leaf, nodeOf, recursiveDifferenceOf, type FieldSet } from './field-set.ts';

/** Takes out of a set what a request to a subresource cannot set, and so never owns. */
export type ResetFilter = (set: FieldSet) => FieldSet;

type ResettingKind = Pick<Kind, 'group' | 'plural' | 'custom' | 'subresources'>;

/** What upstream's strategies put back, by resource and subresource: GetResetFields. Undefined: everything counts. */
export function resetFilterOf(kind: ResettingKind, subresource: string): ResetFilter | undefined {
  const name = `${resourceNameOf(kind)}/${subresource}`;
  if (Object.hasOwn(particular, name)) return particular[name];
  if (subresource === '') return Object.hasOwn(kind.subresources, 'status') ? without.status : undefined;
  if (subresource !== 'status') return undefined;
  return kind.custom === true ? without.metadataAndSpec : without.spec;
}

const spec = { 'f:spec': leaf };
const metadata = { 'f:metadata': leaf };
const status = { 'f:status': leaf };

const without = {
  status: excluding(status),
  spec: excluding(spec),
  metadataAndSpec: excluding({ ...metadata, ...spec }),
};

const particular: Readonly<Record<string, ResetFilter>> = {
  'pods/status': excluding({ ...spec, 'f:metadata': { 'f:deletionTimestamp': leaf, 'f:ownerReferences': leaf } }),
  'pods/ephemeralcontainers': including([['f:spec', 'f:ephemeralContainers']]),
  'pods/resize': including([
    ['f:spec', 'f:containers', '*', 'f:resources'],
    ['f:spec', 'f:containers', '*', 'f:resizePolicy'],
    ['f:spec', 'f:initContainers', '*', 'f:resources'],
    ['f:spec', 'f:initContainers', '*', 'f:resizePolicy'],
  ]),
  'namespaces/finalize': without.status,
  'deployments.apps/status': excluding({ ...spec, 'f:metadata': { 'f:labels': leaf } }),
  'certificatesigningrequests.certificates.k8s.io/': excluding({ ...spec, ...status }),
  'certificatesigningrequests.certificates.k8s.io/status': excluding({ ...spec, 'f:status': { 'f:conditions': leaf } }),
  'certificatesigningrequests.certificates.k8s.io/approval': excluding({
    ...spec,
    'f:status': { 'f:certificate': leaf },
  }),
  'podcertificaterequests.certificates.k8s.io/status': excluding({ ...spec, 'f:status': { 'f:conditions': leaf } }),
  'flowschemas.flowcontrol.apiserver.k8s.io/status': without.metadataAndSpec,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io/status': without.metadataAndSpec,
  'volumeattachments.storage.k8s.io/status': without.metadataAndSpec,
  'apiservices.apiregistration.k8s.io/status': without.metadataAndSpec,
  'resourceclaims.resource.k8s.io/status': without.metadataAndSpec,
};

function excluding(reset: FieldSet): ResetFilter {
  return set => recursiveDifferenceOf(set, reset);
}

/** Only what is on the way to one of the paths, or below it. `*` is any item. */
function including(paths: readonly (readonly string[])[]): ResetFilter {
  return set => included(set, paths) ?? {};
}

function included(node: FieldSet, paths: readonly (readonly string[])[]): FieldSet | undefined {
  const children: Record<string, FieldSet> = {};
  for (const element in node) {
    if (element === '.') continue;
    const matching = paths.filter(([first]) => first === '*' || first === element).map(([, ...rest]) => rest);
    if (matching.length === 0) continue;
    const child = childOf(node, element) as FieldSet;
    if (matching.some(rest => rest.length === 0)) children[element] = child;
    else {
      const below = nodeOf(isMember(child), included(withoutSelf(child), matching) as Record<string, FieldSet>);
      if (below !== undefined) children[element] = below;
    }
  }
  return nodeOf(false, children);
}

function withoutSelf(node: FieldSet): FieldSet {
  const { '.': _, ...children } = node as Record<string, FieldSet>;
  return children;
}
