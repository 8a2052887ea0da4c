import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkMessages,
  checkOneOf,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { byteLength, isDNS1123Subdomain, isInRange } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { compareTexts } from './pod-resources.ts';
import type { Report } from '../../machinery/validation.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { checkSignerName } from '../../certificates/signer-name.ts';
import { checkObjectField, checkResourceField } from './downward-api-validation.ts';
import { validateClaimTemplate } from './persistent-volume-claim-validation.ts';
import type {
  ClusterTrustBundleProjection,
  DownwardAPIVolumeFile,
  KeyToPath,
  PodCertificateProjection,
  ProjectedVolumeSource,
  Volume,
  VolumeProjection,
} from './pod-spec.ts';

/** What the validations of a pod spec have to know of what they stand in. */
export interface PodContext {
  /** Absent in templates. */
  readonly metadata?: ObjectMeta;
  readonly isPod: boolean;
}

/** Checks the volumes and answers with those that containers may mount. `report` stands at `volumes`. */
export function validateVolumes(
  volumes: readonly Volume[],
  context: PodContext,
  report: Report,
): ReadonlyMap<string, Volume> {
  const good = new Map<string, Volume>();
  const podName = context.metadata?.name ?? '';
  const createdClaims = new Set(
    volumes.filter(volume => volume.ephemeral && podName !== '').map(volume => `${podName}-${volume.name}`),
  );
  for (const [index, volume] of volumes.entries()) {
    const at = report.index(index);
    const errorsBefore = at.errors.length;
    validateVolumeSource(volume, podName, context, at);
    if (!volume.name) at.at('name').required();
    else checkDnsLabel(volume.name, at.at('name'));
    if (good.has(volume.name)) at.at('name').duplicate(volume.name);
    if (at.errors.length === errorsBefore) good.set(volume.name, volume);
    const claimName = volume.persistentVolumeClaim?.claimName;
    if (claimName !== undefined && createdClaims.has(claimName))
      at.at('persistentVolumeClaim', 'claimName').invalid(
        claimName,
        'must not reference a PVC that gets created for an ephemeral volume',
      );
  }
  return good;
}

type SourceName = Exclude<keyof Volume, 'name'>;
/** In upstream's order: of several sources the first is checked, the others are refused. */
const sourceNames = [
  'emptyDir',
  'hostPath',
  'gitRepo',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'secret',
  'nfs',
  'iscsi',
  'glusterfs',
  'flocker',
  'persistentVolumeClaim',
  'rbd',
  'cinder',
  'cephfs',
  'quobyte',
  'downwardAPI',
  'fc',
  'flexVolume',
  'configMap',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'storageos',
  'projected',
  'scaleIO',
  'csi',
  'ephemeral',
  'image',
] as const satisfies readonly SourceName[];

/** Where upstream's messages name a source otherwise than the field. */
const refusedAs: Readonly<Record<string, string>> = { cephfs: 'cephFS', downwardAPI: 'downwarAPI' };
const checkedAs: Readonly<Record<string, string>> = { gcePersistentDisk: 'persistentDisk' };

function validateVolumeSource(volume: Volume, podName: string, context: PodContext, report: Report): void {
  const given = sourceNames.filter(name => volume[name] !== undefined);
  if (given.length === 0) report.required('must specify a volume type');
  for (const [position, name] of given.entries()) {
    if (position > 0) report.at(refusedAs[name] ?? name).forbidden('may not specify more than 1 volume type');
    else validateSource(volume, name, context, report.at(checkedAs[name] ?? name));
    const { iscsi, ephemeral } = volume;
    if (name === 'iscsi' && iscsi?.initiatorName !== undefined)
      checkPortalLength(volume.name, iscsi.targetPortal, report.at('name'), volume.name);
    if (name === 'ephemeral' && position === 0 && ephemeral && podName !== '' && volume.name) {
      const claim = `${podName}-${volume.name}`;
      for (const message of isDNS1123Subdomain(claim))
        report.at('name').invalid(volume.name, `PVC name ${JSON.stringify(claim)}: ${message}`);
    }
  }
}

function validateSource(volume: Volume, name: SourceName, context: PodContext, report: Report): void {
  switch (name) {
    case 'emptyDir': {
      const { sizeLimit } = volume.emptyDir ?? {};
      if (sizeLimit !== undefined && compareTexts(sizeLimit, '0') < 0)
        report.at('sizeLimit').forbidden('SizeLimit field must be a valid resource quantity');
      return;
    }
    case 'secret':
      requireFields(report, { secretName: volume.secret?.secretName });
      validateFiles(volume.secret ?? {}, report);
      return;
    case 'configMap':
      requireFields(report, { name: volume.configMap?.name });
      validateFiles(volume.configMap ?? {}, report);
      return;
    case 'persistentVolumeClaim':
      requireFields(report, { claimName: volume.persistentVolumeClaim?.claimName });
      return;
    case 'gitRepo':
      requireFields(report, { repository: volume.gitRepo?.repository });
      checkDescendingPath(volume.gitRepo?.directory ?? '', report.at('directory'));
      return;
    case 'downwardAPI':
      checkMode(volume.downwardAPI?.defaultMode, report.at('defaultMode'));
      for (const file of volume.downwardAPI?.items ?? []) validateDownwardFile(file, report);
      return;
    case 'projected':
      checkMode(volume.projected?.defaultMode, report.at('defaultMode'));
      if (volume.projected) validateProjection(volume.projected, report);
      return;
    case 'csi': {
      const { driver = '', nodePublishSecretRef } = volume.csi ?? {};
      checkCsiDriverName(driver, report.at('driver'));
      if (!nodePublishSecretRef) return;
      if (!nodePublishSecretRef.name) report.at('nodePublishSecretRef', 'name').required();
      else checkDnsSubdomain(nodePublishSecretRef.name, report.at('name'));
      return;
    }
    case 'ephemeral': {
      const template = volume.ephemeral?.volumeClaimTemplate;
      if (template) validateClaimTemplate(template, report.at('volumeClaimTemplate'));
      else report.at('volumeClaimTemplate').required();
      return;
    }
    case 'image':
      if (context.isPod) requireFields(report, { reference: volume.image?.reference });
      checkRequiredOneOf(volume.image?.pullPolicy, ['Always', 'IfNotPresent', 'Never'], report.at('pullPolicy'));
      return;
    case 'cinder':
      requireFields(report, { volumeID: volume.cinder?.volumeID });
      if (volume.cinder?.secretRef && !volume.cinder.secretRef.name) report.at('secretRef', 'name').required();
      return;
    case 'cephfs':
      if ((volume.cephfs?.monitors ?? []).length === 0) report.at('monitors').required();
      return;
    case 'azureFile':
      requireFields(report, { secretName: volume.azureFile?.secretName, shareName: volume.azureFile?.shareName });
      return;
    case 'storageos':
      validateStorageOs(volume.storageos ?? {}, report);
      return;
    default:
      validateSharedSource(volume, name, report);
  }
}

/** The sources that pods and PersistentVolumes describe alike. */
export interface SharedSources
  extends Pick<
    Volume,
    | 'hostPath'
    | 'gcePersistentDisk'
    | 'awsElasticBlockStore'
    | 'nfs'
    | 'flocker'
    | 'quobyte'
    | 'fc'
    | 'vsphereVolume'
    | 'photonPersistentDisk'
    | 'portworxVolume'
    | 'azureDisk'
  > {
  readonly iscsi?:
    | (Pick<
        NonNullable<Volume['iscsi']>,
        'targetPortal' | 'iqn' | 'lun' | 'chapAuthDiscovery' | 'chapAuthSession' | 'initiatorName'
      > & { readonly secretRef?: { readonly name?: string | undefined } | undefined })
    | undefined;
  readonly rbd?: { readonly monitors: readonly string[]; readonly image: string } | undefined;
  readonly glusterfs?: { readonly endpoints: string; readonly path: string } | undefined;
  readonly flexVolume?:
    | { readonly driver: string; readonly options?: Readonly<Record<string, string>> | undefined }
    | undefined;
  readonly scaleIO?:
    | { readonly gateway: string; readonly system: string; readonly volumeName?: string | undefined }
    | undefined;
}

/** `report` stands at the source. */
export function validateSharedSource(sources: SharedSources, name: string, report: Report): void {
  switch (name) {
    case 'hostPath': {
      const { path = '', type } = sources.hostPath ?? {};
      if (path === '') {
        report.at('path').required();
        return;
      }
      checkNoBacksteps(path, report.at('path'));
      if (type !== undefined) checkOneOf(type, hostPathTypes, report.at('type'));
      return;
    }
    case 'gcePersistentDisk':
      requireFields(report, { pdName: sources.gcePersistentDisk?.pdName });
      checkMessages(
        isInRange(sources.gcePersistentDisk?.partition ?? 0, 0, 255).map(() => 'must be between 1 and 255, inclusive'),
        sources.gcePersistentDisk?.partition,
        report.at('partition'),
      );
      return;
    case 'awsElasticBlockStore':
      requireFields(report, { volumeID: sources.awsElasticBlockStore?.volumeID });
      checkMessages(
        isInRange(sources.awsElasticBlockStore?.partition ?? 0, 0, 255).map(
          () => 'must be between 1 and 255, inclusive',
        ),
        sources.awsElasticBlockStore?.partition,
        report.at('partition'),
      );
      return;
    case 'nfs':
      requireFields(report, { server: sources.nfs?.server, path: sources.nfs?.path });
      if (!sources.nfs?.path?.startsWith('/'))
        report.at('path').invalid(sources.nfs?.path ?? '', 'must be an absolute path');
      return;
    case 'iscsi':
      validateIscsi(sources.iscsi ?? {}, report);
      return;
    case 'glusterfs':
      requireFields(report, { endpoints: sources.glusterfs?.endpoints, path: sources.glusterfs?.path });
      return;
    case 'flocker':
      validateFlocker(sources.flocker ?? {}, report);
      return;
    case 'rbd':
      if ((sources.rbd?.monitors ?? []).length === 0) report.at('monitors').required();
      requireFields(report, { image: sources.rbd?.image });
      return;
    case 'quobyte':
      validateQuobyte(sources.quobyte, report);
      return;
    case 'fc':
      validateFibreChannel(sources.fc ?? {}, report);
      return;
    case 'flexVolume':
      requireFields(report, { driver: sources.flexVolume?.driver });
      for (const key of Object.keys(sources.flexVolume?.options ?? {})) {
        if (/\.(?:kubernetes|k8s)\.io$/.test(`.${(key.split('/', 1)[0] as string).toLowerCase()}`))
          report.at('options').key(key).invalid(key, 'kubernetes.io and k8s.io namespaces are reserved');
      }
      return;
    case 'vsphereVolume':
      requireFields(report, { volumePath: sources.vsphereVolume?.volumePath });
      return;
    case 'photonPersistentDisk':
      requireFields(report, { pdID: sources.photonPersistentDisk?.pdID });
      return;
    case 'portworxVolume':
      requireFields(report, { volumeID: sources.portworxVolume?.volumeID });
      return;
    case 'azureDisk':
      validateAzureDisk(sources.azureDisk, report);
      return;
    case 'scaleIO':
      requireFields(report, {
        gateway: sources.scaleIO?.gateway,
        system: sources.scaleIO?.system,
        volumeName: sources.scaleIO?.volumeName,
      });
      return;
    default:
  }
}

/** `Required value` for each field that is empty. */
export function requireFields(report: Report, fields: Readonly<Record<string, string | undefined>>): void {
  for (const name in fields) if (!fields[name]) report.at(name).required();
}

export function validateStorageOs(
  source: {
    readonly volumeName?: string | undefined;
    readonly volumeNamespace?: string | undefined;
    readonly secretRef?: { readonly name?: string | undefined } | undefined;
  },
  report: Report,
): void {
  if (!source.volumeName) report.at('volumeName').required();
  else checkDnsLabel(source.volumeName, report.at('volumeName'));
  if (source.volumeNamespace) checkDnsLabel(source.volumeNamespace, report.at('volumeNamespace'));
  if (source.secretRef && !source.secretRef.name) report.at('secretRef', 'name').required();
}

export function checkCsiDriverName(driver: string, report: Report): void {
  if (driver === '') {
    report.required();
    return;
  }
  if (byteLength(driver) > 63) report.tooLong(63);
  checkMessages(isDNS1123Subdomain(driver.toLowerCase()), driver, report);
}

/** `..` leads out of what a path is meant to stay in. */
export function checkNoBacksteps(path: string, report: Report): void {
  if (path.split('/').includes('..')) report.invalid(path, "must not contain '..'");
}

export function checkDescendingPath(path: string, report: Report): void {
  if (path.startsWith('/')) report.invalid(path, 'must be a relative path');
  checkNoBacksteps(path, report);
}

/** Names that start with two dots are what the node agent itself writes into such a directory. */
export function checkFilePath(path: string, report: Report): void {
  checkDescendingPath(path, report);
  if (path.startsWith('..') && !path.startsWith('../')) report.invalid(path, "must not start with '..'");
}

export function checkPortalLength(name: string, portal: string, report: Report, value: string): void {
  if (byteLength(`${name}:${portal}`) > 64)
    report.invalid(
      value,
      'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.',
    );
}

const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const modeMessage = 'must be a number between 0 and 0777 (octal), both inclusive';

function checkMode(mode: number | undefined, report: Report): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) report.invalid(mode, modeMessage);
}

function validateFiles(
  source: { readonly defaultMode?: number | undefined; readonly items?: readonly KeyToPath[] | undefined },
  report: Report,
): void {
  checkMode(source.defaultMode, report.at('defaultMode'));
  for (const [index, item] of (source.items ?? []).entries()) validateKeyToPath(item, report.at('items').index(index));
}

function validateKeyToPath(item: KeyToPath, report: Report): void {
  requireFields(report, { key: item.key, path: item.path });
  checkFilePath(item.path ?? '', report.at('path'));
  checkMode(item.mode, report.at('mode'));
}

/** `report` stands at the volume, as upstream's does. */
function validateDownwardFile(file: DownwardAPIVolumeFile, report: Report): void {
  if (!file.path) report.at('path').required();
  checkFilePath(file.path ?? '', report.at('path'));
  if (file.fieldRef) {
    checkObjectField(file.fieldRef, 'volume', report.at('fieldRef'));
    if (file.resourceFieldRef)
      report.invalid('resource', 'fieldRef and resourceFieldRef can not be specified simultaneously');
  } else if (file.resourceFieldRef) checkResourceField(file.resourceFieldRef, 'volume', report.at('resourceFieldRef'));
  else report.required('one of fieldRef and resourceFieldRef is required');
  checkMode(file.mode, report.at('mode'));
}

function validateProjection(projected: ProjectedVolumeSource, report: Report): void {
  const paths = new Set<string>();
  const take = (path: string | undefined, value: string) => {
    if (path === undefined) return;
    if (paths.has(path)) report.invalid(value, 'conflicting duplicate paths');
    paths.add(path);
  };
  for (const [index, source] of (projected.sources ?? []).entries())
    validateProjectedSource(source, take, report, report.at('sources').index(index));
}

type TakePath = (path: string | undefined, value: string) => void;

/** `volume` stands at the projected volume: upstream reports some errors there. */
function validateProjectedSource(source: VolumeProjection, take: TakePath, volume: Report, report: Report): void {
  for (const name of ['secret', 'configMap'] as const) {
    const projection = source[name];
    if (!projection) continue;
    requireFields(report.at(name), { name: projection.name });
    for (const [index, item] of (projection.items ?? []).entries()) {
      validateKeyToPath(item, report.at(name, 'items').index(index));
      if (item.path) take(item.path, projection.name ?? '');
    }
  }
  for (const file of source.downwardAPI?.items ?? []) {
    validateDownwardFile(file, report.at('downwardAPI'));
    if (file.path) take(file.path, file.path);
  }
  if (source.serviceAccountToken) {
    const { expirationSeconds, path } = source.serviceAccountToken;
    const at = report.at('serviceAccountToken', 'expirationSeconds');
    if (expirationSeconds < 600) at.invalid(expirationSeconds, 'may not specify a duration less than 10 minutes');
    if (expirationSeconds > 2 ** 32)
      at.invalid(expirationSeconds, 'may not specify a duration larger than 2^32 seconds');
    if (!path) volume.at('path').required();
    else checkFilePath(path, volume.at('path'));
  }
  if (source.clusterTrustBundle) validateTrustBundle(source.clusterTrustBundle, take, report.at('clusterTrustBundle'));
  if (source.podCertificate) validatePodCertificate(source.podCertificate, take, report.at('podCertificate'));
  if (Object.values(source).filter(each => each !== undefined).length > 1)
    report.forbidden('may not specify more than 1 volume type per source');
}

function validateTrustBundle(bundle: ClusterTrustBundleProjection, take: TakePath, report: Report): void {
  if (bundle.name !== undefined && bundle.signerName !== undefined)
    report.invalid(bundle, 'only one of name and signerName may be used');
  else if (bundle.name !== undefined) {
    if (bundle.name === '') report.at('name').required('must be a valid object name');
    // A bundle of a signer is called `<signer with colons>:<name>`.
    for (const message of isDNS1123Subdomain(bundle.name.slice(bundle.name.lastIndexOf(':') + 1)))
      report.at('name').invalid(bundle.name, `not a valid clustertrustbundlename: ${message}`);
    if (bundle.labelSelector !== undefined)
      report.at('labelSelector').invalid(bundle.labelSelector, 'labelSelector must be unset if name is specified');
  } else if (bundle.signerName !== undefined) {
    if (bundle.signerName === '') report.at('signerName').required('must be a valid signer name');
    checkSignerName(bundle.signerName, report.at('signerName'));
    validateLabelSelector(bundle.labelSelector, report.at('labelSelector'));
  } else report.required('either name or signerName must be specified');
  if (!bundle.path) report.at('path').required();
  checkFilePath(bundle.path ?? '', report.at('path'));
  take(bundle.path ?? '', bundle.path ?? '');
}

function validatePodCertificate(certificate: PodCertificateProjection, take: TakePath, report: Report): void {
  checkSignerName(certificate.signerName ?? '', report.at('signerName'));
  checkOneOf(
    certificate.keyType ?? '',
    ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'],
    report.at('keyType'),
  );
  const seconds = certificate.maxExpirationSeconds;
  if (seconds !== undefined) {
    const most = certificate.signerName?.startsWith('kubernetes.io/') ? 86_400 : 91 * 86_400;
    const at = report.at('maxExpirationSeconds');
    if (seconds < 3600) at.invalid(seconds, 'if provided, maxExpirationSeconds must be >= 3600');
    if (seconds > most) at.invalid(seconds, `if provided, maxExpirationSeconds must be <= ${most}`);
  }
  let paths = 0;
  for (const name of ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const) {
    const path = certificate[name];
    if (!path) continue;
    paths++;
    checkFilePath(path, report.at(name));
    take(path, path);
  }
  if (paths === 0) report.required('specify at least one of credentialBundlePath, keyPath, and certificateChainPath');
}

function validateIscsi(iscsi: Partial<NonNullable<SharedSources['iscsi']>>, report: Report): void {
  requireFields(report, { targetPortal: iscsi.targetPortal });
  if (!iscsi.iqn) report.at('iqn').required();
  else checkIscsiName(iscsi.iqn, report.at('iqn'));
  checkMessages(isInRange(iscsi.lun ?? 0, 0, 255), iscsi.lun, report.at('lun'));
  if ((iscsi.chapAuthDiscovery || iscsi.chapAuthSession) && !iscsi.secretRef) report.at('secretRef').required();
  if (iscsi.initiatorName !== undefined) checkIscsiName(iscsi.initiatorName, report.at('initiatorname'));
}

function checkIscsiName(name: string, report: Report): void {
  const kind = /^(?:iqn|eui|naa)/.exec(name)?.[0];
  if (kind === undefined) report.invalid(name, 'must be valid format starting with iqn, eui, or naa');
  else if (
    (kind === 'iqn' && !/iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+$/.test(name)) ||
    (kind === 'eui' && !/^eui.[A-Za-z0-9]{16}$/.test(name)) ||
    (kind === 'naa' && !/^naa.[A-Za-z0-9]{32}$/.test(name))
  )
    report.invalid(name, 'must be valid format');
}

function validateFlocker(flocker: NonNullable<Volume['flocker']>, report: Report): void {
  if (!flocker.datasetName && !flocker.datasetUUID) report.required('one of datasetName and datasetUUID is required');
  if (flocker.datasetName && flocker.datasetUUID)
    report.invalid('resource', 'datasetName and datasetUUID can not be specified simultaneously');
  if (flocker.datasetName?.includes('/')) report.at('datasetName').invalid(flocker.datasetName, "must not contain '/'");
}

function validateQuobyte(quobyte: Volume['quobyte'], report: Report): void {
  const pairs = 'must be a host:port pair or multiple pairs separated by commas';
  if (!quobyte?.registry) report.at('registry').required(pairs);
  else if ((quobyte.tenant ?? '').length >= 65)
    report.at('tenant').required('must be a UUID and may not exceed a length of 64 characters');
  else
    for (const pair of quobyte.registry.split(','))
      if (!/^(?:[^:[\]]*|\[[^[\]]*\]):[^:[\]]*$/.test(pair)) report.at('registry').invalid(quobyte.registry, pairs);
  requireFields(report, { volume: quobyte?.volume });
}

function validateFibreChannel(fc: NonNullable<Volume['fc']>, report: Report): void {
  const { targetWWNs = [], wwids = [], lun } = fc;
  if (targetWWNs.length === 0 && wwids.length === 0)
    report.at('targetWWNs').required('must specify either targetWWNs or wwids, but not both');
  if (targetWWNs.length > 0 && wwids.length > 0)
    report.at('targetWWNs').invalid(targetWWNs, 'targetWWNs and wwids can not be specified simultaneously');
  if (targetWWNs.length === 0) return;
  if (lun === undefined) report.at('lun').required('lun is required if targetWWNs is specified');
  else checkMessages(isInRange(lun, 0, 255), lun, report.at('lun'));
}

function validateAzureDisk(disk: Volume['azureDisk'], report: Report): void {
  requireFields(report, { diskName: disk?.diskName, diskURI: disk?.diskURI });
  if (!disk) return;
  checkOneOf(disk.cachingMode, ['None', 'ReadOnly', 'ReadWrite'], report.at('cachingMode'));
  checkOneOf(disk.kind, ['Dedicated', 'Managed', 'Shared'], report.at('kind'));
  const uri = report.at('diskURI');
  if (disk.kind === 'Managed' && !disk.diskURI.startsWith('/subscriptions/'))
    uri.notSupported(disk.diskURI, [
      '/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}',
    ]);
  if (disk.kind !== 'Managed' && !disk.diskURI.startsWith('https://'))
    uri.notSupported(disk.diskURI, ['https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd']);
}
