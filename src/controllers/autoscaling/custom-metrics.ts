import type { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { formatLabelSelector } from '#api/machinery/selector.ts';
import { milliValue } from '#api/machinery/quantity.ts';
import { type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import { timeMs } from '../time.ts';
import type { PodMeasure } from './desired-replicas.ts';

type Metric = NonNullable<HorizontalPodAutoscaler['spec']['metrics']>[number];

/** What a metrics API of somebody's says: of every pod, or one number; in thousandths. */
export type CustomValue =
  | { readonly kind: 'pods'; readonly measures: ReadonlyMap<string, PodMeasure> }
  | { readonly kind: 'one'; readonly milli: number }
  | { readonly kind: 'problem'; readonly message: string };

/** Asks custom.metrics.k8s.io and external.metrics.k8s.io; undefined for metrics that neither has to do with. */
export async function customValue(
  client: Client,
  metric: Metric,
  about: {
    readonly namespace: string;
    /** Of the target's pods. */
    readonly podSelector: string;
    kindNamed(apiVersion: string, kind: string): Promise<Kind | undefined>;
  },
  signal: AbortSignal,
): Promise<CustomValue | undefined> {
  const { namespace, podSelector } = about;
  const problem = (prefix: string, error: unknown): CustomValue => {
    signal.throwIfAborted();
    return { kind: 'problem', message: `${prefix}: ${(error as Error).message}` };
  };
  if (metric.pods) {
    const { name, selector } = metric.pods.metric;
    try {
      const query = { labelSelector: podSelector, metricLabelSelector: textOf(selector) };
      const items = await readCustom(client, `namespaces/${segment(namespace)}/pods/*/${segment(name)}`, query, signal);
      return {
        kind: 'pods',
        measures: new Map(
          items.map(each => [
            each.describedObject?.name ?? '',
            { milli: milliValue(each.value), atMs: timeMs(each.timestamp) },
          ]),
        ),
      };
    } catch (error) {
      return problem(`failed to get pods metric value: unable to get metric ${name}`, error);
    }
  }
  if (metric.object) {
    const { describedObject, metric: wanted } = metric.object;
    const { apiVersion = '', kind: kindName, name } = describedObject;
    try {
      const kind = await about.kindNamed(apiVersion, kindName);
      if (!kind)
        throw new Error(`no matches for kind ${JSON.stringify(kindName)} in version ${JSON.stringify(apiVersion)}`);
      const path =
        kind.group === '' && kind.plural === 'namespaces'
          ? `namespaces/${segment(name)}/metrics/${segment(wanted.name)}`
          : `${kind.namespaced ? `namespaces/${segment(namespace)}/` : ''}${resourceNameOf(kind)}/${segment(name)}/${segment(wanted.name)}`;
      const [first] = await readCustom(client, path, { metricLabelSelector: textOf(wanted.selector) }, signal);
      return { kind: 'one', milli: milliValue(first?.value) };
    } catch (error) {
      const what = `unable to get metric ${wanted.name}: ${kindName} on ${namespace} ${name}`;
      return problem(`failed to get object metric value: ${what}`, error);
    }
  }
  if (metric.external) {
    const { name, selector } = metric.external.metric;
    try {
      const root = '/apis/external.metrics.k8s.io/v1beta1';
      const path = `${root}/namespaces/${segment(namespace)}/${segment(name)}`;
      const items = await read(client, path, { labelSelector: textOf(selector) }, 'external', signal);
      return { kind: 'one', milli: items.reduce((sum, each) => sum + milliValue(each.value), 0) };
    } catch (error) {
      const what = `unable to get external metric ${namespace}/${name}/${textOf(selector)}`;
      return problem(`failed to get ${name} external metric value: ${what}`, error);
    }
  }
  return undefined;
}

interface MetricValue {
  readonly describedObject?: { readonly name?: string };
  readonly timestamp?: string;
  readonly value: string;
}

type Query = Readonly<Record<string, string>>;

/** Servers know one of two versions; they differ in what nobody here reads. */
async function readCustom(
  client: Client,
  path: string,
  query: Query,
  signal: AbortSignal,
): Promise<readonly MetricValue[]> {
  const { versions = [] } = JSON.parse(
    await client.raw('/apis/custom.metrics.k8s.io', { accept: 'application/json', signal }),
  ) as { readonly versions?: readonly { readonly version: string }[] };
  const version = versions.some(each => each.version === 'v1beta2') ? 'v1beta2' : 'v1beta1';
  return read(client, `/apis/custom.metrics.k8s.io/${version}/${path}`, query, 'custom', signal);
}

async function read(
  client: Client,
  path: string,
  query: Query,
  which: 'custom' | 'external',
  signal: AbortSignal,
): Promise<readonly MetricValue[]> {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const suffix = given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
  let items: readonly MetricValue[];
  try {
    const text = await client.raw(`${path}${suffix}`, { accept: 'application/json', signal });
    ({ items = [] } = JSON.parse(text) as { items?: readonly MetricValue[] });
  } catch (cause) {
    throw new Error(`unable to fetch metrics from ${which} metrics API: ${(cause as Error).message}`, { cause });
  }
  if (items.length === 0) throw new Error(`no metrics returned from ${which} metrics API`);
  return items;
}

function textOf(selector: Parameters<typeof formatLabelSelector>[0]): string {
  return selector === undefined ? '' : formatLabelSelector(selector);
}

function segment(text: string): string {
  return encodeURIComponent(text);
}
