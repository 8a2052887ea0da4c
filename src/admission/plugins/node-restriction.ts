import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { TokenRequest } from '#api/authentication/v1/token-request.ts';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { CSIDriver } from '#api/storage/v1/csi-driver.ts';
import { CSINode } from '#api/storage/v1/csi-node.ts';
import { nodeNameOf } from '#auth/authorization/node.ts';
import { podReferences } from '#auth/authorization/pod-references.ts';
import { subjectOfRequest } from '#auth/certificates/certificate-request.ts';
import type { Informers } from '#client/informers.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { forbidden, objectOf, oldOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';

type Rule = (node: string, request: AdmissionRequest, sources: Sources) => Promise<void> | void;

const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** By resource and, behind a slash, subresource; `*` is every other subresource. */
const rules: Readonly<Record<string, Rule>> = {
  pods: restrictPod,
  'pods/status': restrictPodStatus,
  'pods/eviction': restrictEviction,
  'pods/*': (node, request) => {
    throw forbidden(
      request,
      `unexpected pod subresource ${quoted(request.subresource)}, only 'status' and 'eviction' are allowed`,
    );
  },
  nodes: restrictNode,
  'nodes/status': restrictNode,
  'nodes/*': restrictNode,
  'persistentvolumeclaims/status': restrictClaimStatus,
  'persistentvolumeclaims/*': (_node, request) => {
    throw forbidden(request, `unexpected pvc subresource ${quoted(request.subresource)}; only 'status' is allowed`);
  },
  'serviceaccounts/token': restrictToken,
  leases: (node, request) => {
    if (request.namespace !== 'kube-node-lease')
      throw forbidden(request, 'can only access leases in the "kube-node-lease" system namespace');
    restrictName(node, request, Lease, 'can only access node lease with the same name as the requesting node');
  },
  csinodes: (node, request) =>
    restrictName(node, request, CSINode, 'can only access CSINode with the same name as the requesting node'),
  resourceslices: (node, request) => {
    const slice = request.operation === 'CREATE' ? objectOf(ResourceSlice, request) : oldOf(ResourceSlice, request);
    if (slice && slice.spec.nodeName !== node)
      throw forbidden(
        request,
        `can only ${request.operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`,
      );
  },
  certificatesigningrequests: restrictCertificateRequest,
};

const kinds = new Map<string, Kind>(
  [Pod, Node, PersistentVolumeClaim, ServiceAccount, Lease, CSINode, ResourceSlice, CertificateSigningRequest].map(
    kind => [`${kind.plural}.${kind.group}`, kind as unknown as Kind],
  ),
);

/** A node agent changes its own node and what runs on it, and nothing else. */
export function nodeRestriction(sources: Sources): AdmissionPlugin {
  warm(sources.informers);
  return {
    name: 'NodeRestriction',
    handles: ({ user, kind }) => nodeNameOf(user) !== undefined && kinds.has(`${kind.plural}.${kind.group}`),
    async admit(request) {
      const node = nodeNameOf(request.user);
      if (node === undefined) return;
      const { plural } = request.kind;
      const rule =
        rules[request.subresource === '' ? plural : `${plural}/${request.subresource}`] ?? rules[`${plural}/*`];
      if (request.subresource !== '' || rules[plural]) await rule?.(node, request, sources);
    },
  };
}

function warm(informers: Informers): void {
  informers.of(Pod);
  informers.of(Node);
}

async function restrictPod(node: string, request: AdmissionRequest, sources: Sources): Promise<void> {
  const self = quoted(node);
  switch (request.operation) {
    case 'CREATE':
      return restrictMirrorPod(node, request, sources);
    case 'DELETE': {
      const pod =
        oldOf(Pod, request) ?? (await find(sources, sources.informers.of(Pod), request.name, request.namespace));
      if (pod && pod.spec?.nodeName !== node)
        throw forbidden(request, `node ${self} can only delete pods with spec.nodeName set to itself`);
      return;
    }
    default:
      throw forbidden(
        request,
        `unexpected operation ${quoted(request.operation)}, node ${self} can only create and delete mirror pods`,
      );
  }
}

async function restrictMirrorPod(node: string, request: AdmissionRequest, sources: Sources): Promise<void> {
  const self = quoted(node);
  const pod = objectOf(Pod, request);
  const refuse = (why: string) => forbidden(request, why);
  if (pod.metadata.annotations?.[mirrorAnnotation] === undefined)
    throw refuse(`pod does not have ${quoted(mirrorAnnotation)} annotation, node ${self} can only create mirror pods`);
  if (pod.spec?.nodeName !== node) throw refuse(`node ${self} can only create pods with spec.nodeName set to itself`);
  const [owner, ...others] = pod.metadata.ownerReferences ?? [];
  if (!owner) throw refuse(`node ${self} can only create pods with an owner reference set to itself`);
  if (others.length > 0 || owner.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node)
    throw refuse(`node ${self} can only create pods with a single owner reference set to itself`);
  if (owner.controller !== true)
    throw refuse(`node ${self} can only create pods with a controller owner reference set to itself`);
  if (owner.blockOwnerDeletion) throw refuse(`node ${self} must not set blockOwnerDeletion on an owner reference`);
  const known = await find(sources, sources.informers.of(Node), node);
  if (!known) throw refuse(`node ${self} could not find itself`);
  if (known.metadata.uid !== owner.uid)
    throw refuse(`node ${self} UID mismatch: expected ${known.metadata.uid} got ${owner.uid}`);
  if (pod.spec.serviceAccountName) throw refuse(`node ${self} can not create pods that reference a service account`);
  const references = podReferences(pod);
  if (references.secrets.size > 0) throw refuse(`node ${self} can not create pods that reference secrets`);
  if (references.configMaps.size > 0) throw refuse(`node ${self} can not create pods that reference configmaps`);
  if (references.claims.size > 0)
    throw refuse(`node ${self} can not create pods that reference persistentvolumeclaims`);
  if ((pod.spec.resourceClaims?.length ?? 0) > 0 || references.resourceClaims.size > 0)
    throw refuse(`node ${self} can not create pods that reference resourceclaims`);
  const projects = (what: 'serviceAccountToken' | 'clusterTrustBundle' | 'podCertificate') =>
    pod.spec?.volumes?.some(each => each.projected?.sources?.some(source => source[what]));
  if (projects('serviceAccountToken'))
    throw refuse(`node ${self} can not create pods that reference a service account`);
  if (projects('clusterTrustBundle'))
    throw refuse(`node ${self} can not create pods that reference clustertrustbundles`);
  if (projects('podCertificate')) throw refuse(`node ${self} can not create pods that reference podcertificates`);
}

function restrictPodStatus(node: string, request: AdmissionRequest): void {
  const self = quoted(node);
  if (request.operation !== 'UPDATE')
    throw forbidden(
      request,
      `unexpected operation ${quoted(request.operation)}, node ${self} can only update pod status`,
    );
  const old = oldOf(Pod, request);
  const pod = objectOf(Pod, request);
  if (old?.spec?.nodeName !== node)
    throw forbidden(request, `node ${self} can only update pod status for pods with spec.nodeName set to itself`);
  if (differ(pod.metadata.labels ?? {}, old.metadata.labels ?? {}))
    throw forbidden(request, `node ${self} cannot update labels through pod status`);
  if (differ(pod.status?.resourceClaimStatuses ?? [], old.status?.resourceClaimStatuses ?? []))
    throw forbidden(request, `node ${self} cannot update resource claim statuses`);
}

async function restrictEviction(node: string, request: AdmissionRequest, sources: Sources): Promise<void> {
  const self = quoted(node);
  if (request.operation !== 'CREATE') throw forbidden(request, `unexpected operation ${quoted(request.operation)}`);
  const pod = await find(sources, sources.informers.of(Pod), request.name, request.namespace);
  if (!pod) throw errors.notFound(Pod, request.name);
  if (pod.spec?.nodeName !== node)
    throw forbidden(request, `node ${self} can only evict pods with spec.nodeName set to itself`);
}

function restrictNode(node: string, request: AdmissionRequest): void {
  const self = quoted(node);
  const refuse = (why: string) => forbidden(request, `node ${self} is not allowed to ${why}`);
  const object = request.operation === 'DELETE' ? undefined : objectOf(Node, request);
  const name = request.name || object?.metadata.name || '';
  if (name !== node) throw refuse(`modify node ${quoted(name)}`);
  if (!object) return;
  const old = oldOf(Node, request);
  const changed = changedKeys(object.metadata.labels ?? {}, old?.metadata.labels ?? {}).filter(isForbiddenLabel);
  const listed = changed.sort().join(', ');
  if (request.operation === 'CREATE') {
    if (changed.length > 0) throw refuse(`set the following labels: ${listed}`);
    if (object.spec?.configSource) throw refuse('create pods with a non-nil configSource');
    return;
  }
  if (object.spec?.configSource && differ(object.spec.configSource, old?.spec?.configSource))
    throw refuse('update configSource to a new non-nil configSource');
  if (differ(object.spec?.taints ?? [], old?.spec?.taints ?? [])) throw refuse('modify taints');
  if (differ(object.metadata.ownerReferences ?? [], old?.metadata.ownerReferences ?? []))
    throw refuse('modify ownerReferences');
  if (changed.length > 0) throw refuse(`modify labels: ${listed}`);
}

function restrictClaimStatus(node: string, request: AdmissionRequest): void {
  if (request.operation !== 'UPDATE')
    throw forbidden(
      request,
      `unexpected operation ${quoted(request.operation)}, node ${quoted(node)} can only update pvc status`,
    );
  // What a resize on the node brings about; the phase is the controller's.
  const bare = ({ metadata, spec, status }: PersistentVolumeClaim) => {
    const { resourceVersion, managedFields, ...kept } = metadata;
    const { capacity, conditions, allocatedResources, allocatedResourceStatuses, ...others } = status ?? {};
    void [resourceVersion, managedFields, capacity, conditions, allocatedResources, allocatedResourceStatuses];
    return { kept, spec, others };
  };
  const old = oldOf(PersistentVolumeClaim, request);
  if (old && differ(bare(objectOf(PersistentVolumeClaim, request)), bare(old)))
    throw forbidden(
      request,
      `node ${quoted(node)} is not allowed to update fields other than status.capacity and status.conditions`,
    );
}

async function restrictToken(node: string, request: AdmissionRequest, sources: Sources): Promise<void> {
  const { spec } = objectOf(TokenRequest, request);
  const reference = spec.boundObjectRef;
  if (reference?.kind !== 'Pod' || reference.apiVersion !== 'v1' || !reference.name)
    throw forbidden(request, 'node requested token not bound to a pod');
  if (!reference.uid) throw forbidden(request, 'node requested token with a pod binding without a uid');
  const pod = await find(sources, sources.informers.of(Pod), reference.name ?? '', request.namespace);
  if (!pod) throw errors.notFound(Pod, reference.name ?? '');
  if (pod.metadata.uid !== reference.uid)
    throw forbidden(
      request,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  if (pod.spec?.nodeName !== node)
    throw forbidden(request, 'node requested token bound to a pod scheduled on a different node');
  const audiences = (spec.audiences ?? []).filter(each => each !== '');
  if (audiences.length > 1) throw forbidden(request, 'node may only request 0 or 1 audiences');
  for (const audience of audiences)
    if (!(await isAudienceOf(pod, audience, sources)))
      throw forbidden(request, `audience ${quoted(audience)} not found in pod spec volume`);
}

/** KEP-4935: only audiences that the pod's volumes name. */
async function isAudienceOf(pod: Pod, audience: string, sources: Sources): Promise<boolean> {
  for (const volume of pod.spec?.volumes ?? []) {
    if (volume.projected?.sources?.some(source => source.serviceAccountToken?.audience === audience)) return true;
    if (!volume.csi && !volume.persistentVolumeClaim && !volume.ephemeral) continue;
    for (const { spec } of await driversOf(volume.csi?.driver, sources))
      if (spec.tokenRequests?.some(each => each.audience === audience)) return true;
  }
  return false;
}

async function driversOf(name: string | undefined, { client }: Sources): Promise<readonly CSIDriver[]> {
  const { items } = await client.list(CSIDriver);
  return name === undefined ? items : items.filter(each => each.metadata.name === name);
}

async function restrictCertificateRequest(node: string, request: AdmissionRequest): Promise<void> {
  if (request.operation !== 'CREATE') return;
  const { spec } = objectOf(CertificateSigningRequest, request);
  const own = ['kubernetes.io/kubelet-serving', 'kubernetes.io/kube-apiserver-client-kubelet'];
  if (!own.includes(spec.signerName)) return;
  const subject = await subjectOfRequest(Buffer.from(spec.request, 'base64').toString());
  if (!subject) throw forbidden(request, 'unable to parse csr: it is no PKCS #10 request');
  if (subject.commonName !== `system:node:${node}`)
    throw forbidden(request, `can only create a node CSR with CN=system:node:${node}`);
}

function restrictName<Type extends ApiObject>(
  node: string,
  request: AdmissionRequest,
  kind: Kind<Type>,
  why: string,
): void {
  const name = request.operation === 'CREATE' ? objectOf(kind, request).metadata.name : request.name;
  if (name !== node) throw forbidden(request, why);
}

/** Labels that node agents may set on their node although the prefix is Kubernetes' own. */
const nodeLabels = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.kubernetes.io/zone',
  'failure-domain.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
]);

function isForbiddenLabel(label: string): boolean {
  const prefix = label.includes('/') ? label.slice(0, label.indexOf('/')) : '';
  const within = (domain: string) => prefix === domain || prefix.endsWith(`.${domain}`);
  if (within('node-restriction.kubernetes.io')) return true;
  if (!within('kubernetes.io') && !within('k8s.io')) return false;
  return !nodeLabels.has(label) && !within('kubelet.kubernetes.io') && !within('node.kubernetes.io');
}

function changedKeys(left: Readonly<Record<string, string>>, right: Readonly<Record<string, string>>): string[] {
  const value = (from: Readonly<Record<string, string>>, key: string) =>
    Object.hasOwn(from, key) ? from[key] : undefined;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    key => value(left, key) !== value(right, key),
  );
}

function differ(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) !== JSON.stringify(right);
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
