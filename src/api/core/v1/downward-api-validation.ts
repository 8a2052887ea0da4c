import { checkQualifiedName } from '../../machinery/checks.ts';
import { canonicalQuantity } from '../../machinery/quantity.ts';
import type { Report } from '../../machinery/validation.ts';
import { compareTexts } from './pod-resources.ts';
import type { ObjectFieldSelector, ResourceFieldSelector } from './pod-spec.ts';

type Place = 'env' | 'volume';

/** A field of the pod, for an environment variable or a file. `report` stands at `fieldRef`. */
export function checkObjectField({ apiVersion, fieldPath }: ObjectFieldSelector, place: Place, report: Report): void {
  const at = report.at('fieldPath');
  if (!apiVersion) {
    report.at('apiVersion').required();
    return;
  }
  if (!fieldPath) {
    at.required();
    return;
  }
  const [, path = '', key] = /^([^[]*)\['(.*)'\]$/.exec(fieldPath) ?? ['', fieldPath, undefined];
  const problem = fieldPathProblem(apiVersion, fieldPath, path, key);
  if (problem !== undefined) at.invalid(fieldPath, `error converting fieldPath: ${problem}`);
  else if (key !== undefined) checkQualifiedName(path === 'metadata.annotations' ? key.toLowerCase() : key, report);
  else if (!fieldsOf[place].includes(path === 'spec.host' ? 'spec.nodeName' : path))
    at.notSupported(path, fieldsOf[place]);
}

/** A resource of a container, for an environment variable or a file. `report` stands at `resourceFieldRef`. */
export function checkResourceField(selector: ResourceFieldSelector, place: Place, report: Report): void {
  const { containerName, resource, divisor } = selector;
  if (place === 'volume' && !containerName) report.at('containerName').required();
  else if (!resource) report.at('resource').required();
  else if (!containerResources.includes(resource) && !isHugePagesField(resource))
    report.at('resource').notSupported(resource, containerResources);
  if (!divisor || compareTexts(divisor, '0') === 0) return;
  const kind = divisorKind(resource ?? '');
  if (kind === undefined) return;
  const [supported, name] = kind;
  if (!supported.includes(canonicalQuantity(divisor) ?? divisor))
    report
      .at('divisor')
      .invalid(
        resource,
        `only divisor's values ${supported.join(name === 'cpu' ? ' and ' : ', ')} are supported with the ${name} resource`,
      );
}

const fieldsOf: Readonly<Record<Place, readonly string[]>> = {
  env: [
    'metadata.name',
    'metadata.namespace',
    'metadata.uid',
    'spec.nodeName',
    'spec.serviceAccountName',
    'status.hostIP',
    'status.hostIPs',
    'status.podIP',
    'status.podIPs',
  ],
  volume: ['metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid'],
};

const knownFields: readonly string[] = [
  ...fieldsOf.env,
  ...fieldsOf.volume,
  'spec.host',
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
];

const containerResources = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

const cpuDivisors = ['1m', '1'];
const byteDivisors = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'];

function fieldPathProblem(
  apiVersion: string,
  label: string,
  path: string,
  key: string | undefined,
): string | undefined {
  if (apiVersion !== 'v1') return `unsupported pod version: ${apiVersion}`;
  if (key !== undefined)
    return path === 'metadata.annotations' || path === 'metadata.labels'
      ? undefined
      : `field label does not support subscript: ${label}`;
  return knownFields.includes(path) ? undefined : `field label not supported: ${label}`;
}

function isHugePagesField(resource: string): boolean {
  return resource.startsWith('requests.hugepages-') || resource.startsWith('limits.hugepages-');
}

function divisorKind(resource: string): readonly [supported: readonly string[], name: string] | undefined {
  if (isHugePagesField(resource)) return [byteDivisors, 'hugepages'];
  switch (resource.slice(resource.indexOf('.') + 1)) {
    case 'cpu':
      return [cpuDivisors, 'cpu'];
    case 'memory':
      return [byteDivisors, 'memory'];
    case 'ephemeral-storage':
      return [byteDivisors, 'local ephemeral storage'];
    default:
      return undefined;
  }
}
