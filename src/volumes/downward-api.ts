import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container, ObjectFieldSelector, ResourceFieldSelector } from '#api/core/v1/pod-spec.ts';
import { compareQuantities, parseQuantity, type Quantity } from '#api/machinery/quantity.ts';

/** What only the node agent knows, before the API says it. */
export interface PodPlace {
  readonly nodeName: string;
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
}

/** The value of a pod's field for its environment or a volume. Throws for fields that cannot be had. */
export function fieldValue({ fieldPath }: ObjectFieldSelector, { metadata, spec }: Pod, place?: PodPlace): string {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript) {
    const [, map = '', key = ''] = subscript;
    const values = map === 'labels' ? metadata.labels : metadata.annotations;
    return values && Object.hasOwn(values, key) ? (values[key] ?? '') : '';
  }
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name ?? '';
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return formatMap(metadata.labels);
    case 'metadata.annotations':
      return formatMap(metadata.annotations);
    case 'spec.nodeName':
      return spec?.nodeName ?? place?.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec?.serviceAccountName ?? '';
    case 'status.hostIP':
      return place?.hostIps[0] ?? '';
    case 'status.hostIPs':
      return place?.hostIps.join(',') ?? '';
    case 'status.podIP':
      return place?.podIps[0] ?? '';
    case 'status.podIPs':
      return place?.podIps.join(',') ?? '';
    default:
      throw new Error(`unsupported fieldPath: ${fieldPath}`);
  }
}

function formatMap(values: Readonly<Record<string, string>> | undefined): string {
  const lines = Object.entries(values ?? {}).map(([key, value]) => `${key}=${quoted(value)}`);
  return lines.toSorted().join('\n');
}

/** As Go's %q for what labels and annotations hold. */
function quoted(value: string): string {
  return JSON.stringify(value).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

/** A container's requests or limits in units of the divisor, rounded up; limits default to what the node has. */
export function resourceValue(
  selector: ResourceFieldSelector,
  pod: Pod,
  own: Container | undefined,
  node?: Node,
): string {
  const { containerName, resource, divisor } = selector;
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const container = containerName ? all.find(({ name }) => name === containerName) : own;
  if (!container) throw new Error(`container ${containerName ?? ''} not found`);
  const [kind, ...rest] = resource.split('.');
  const name = rest.join('.');
  if ((kind !== 'limits' && kind !== 'requests') || name === '')
    throw new Error(`unsupported container resource : ${resource}`);
  const amounts = container.resources?.[kind];
  const fallback = kind === 'limits' ? allocatable(node, name) : undefined;
  const amount = parseQuantity(amounts?.[name] ?? fallback ?? '0');
  const unit = parseQuantity(divisor === undefined || divisor === '' || divisor === '0' ? '1' : divisor);
  if (!amount || !unit || unit.nano === 0n) throw new Error(`unsupported container resource : ${resource}`);
  return String(dividedUp(amount, unit));
}

function allocatable(node: Node | undefined, name: string): string | undefined {
  return node?.status?.allocatable?.[name];
}

function dividedUp(amount: Quantity, unit: Quantity): bigint {
  if (compareQuantities(amount, { ...amount, nano: 0n }) < 0) return amount.nano / unit.nano;
  return (amount.nano + unit.nano - 1n) / unit.nano;
}
