import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { milliValue, quantityError, wholeValue } from '#api/machinery/quantity.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import type { Log } from '#base/log.ts';
import { thresholdsOf } from './eviction/thresholds.ts';
import type { VerificationPolicy } from './pods/pulled-images.ts';
import { parseCpus } from './resources/machine-topology.ts';

/** What of upstream's KubeletConfiguration is heeded here, with its names, texts and defaults. */
export interface KubeletConfiguration {
  readonly maxPods: number;
  readonly podsPerCore: number;
  readonly podPidsLimit: number;
  readonly staticPodPath: string;
  readonly fileCheckFrequency: string;
  readonly nodeStatusUpdateFrequency: string;
  readonly nodeStatusReportFrequency: string;
  readonly nodeLeaseDurationSeconds: number;
  readonly clusterDNS: readonly string[];
  readonly clusterDomain: string;
  readonly resolvConf: string;
  readonly registerWithTaints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  readonly systemReserved: Readonly<Record<string, string>>;
  readonly kubeReserved: Readonly<Record<string, string>>;
  readonly evictionHard: Readonly<Record<string, string>>;
  readonly evictionSoft: Readonly<Record<string, string>>;
  readonly evictionSoftGracePeriod: Readonly<Record<string, string>>;
  readonly evictionMinimumReclaim: Readonly<Record<string, string>>;
  readonly evictionPressureTransitionPeriod: string;
  readonly evictionMaxPodGracePeriod: number;
  readonly imageGCHighThresholdPercent: number;
  readonly imageGCLowThresholdPercent: number;
  readonly imageMinimumGCAge: string;
  readonly imageMaximumGCAge: string;
  readonly containerLogMaxSize: string;
  readonly containerLogMaxFiles: number;
  readonly shutdownGracePeriod: string;
  readonly shutdownGracePeriodCriticalPods: string;
  readonly localStorageCapacityIsolation: boolean;
  readonly enableSystemLogHandler: boolean;
  readonly allowedUnsafeSysctls: readonly string[];
  readonly serializeImagePulls: boolean;
  readonly maxParallelImagePulls: number;
  readonly imagePullCredentialsVerificationPolicy: VerificationPolicy;
  readonly preloadedImagesVerificationAllowlist: readonly string[];
  readonly crashLoopBackOff: { readonly maxContainerRestartPeriod: string };
  readonly cpuManagerPolicy: 'none' | 'static';
  readonly cpuManagerPolicyOptions: Readonly<Record<string, string>>;
  readonly reservedSystemCPUs: string;
  readonly memoryManagerPolicy: 'None' | 'Static';
  readonly reservedMemory: readonly { readonly numaNode: number; readonly limits: Readonly<Record<string, string>> }[];
  readonly topologyManagerPolicy: 'none' | 'best-effort' | 'restricted' | 'single-numa-node';
  readonly topologyManagerScope: 'container' | 'pod';
  readonly userNamespaces: { readonly idsPerPod?: number };
}

export const defaultKubeletConfiguration: KubeletConfiguration = {
  maxPods: 110,
  podsPerCore: 0,
  podPidsLimit: -1,
  staticPodPath: '',
  fileCheckFrequency: '20s',
  nodeStatusUpdateFrequency: '10s',
  nodeStatusReportFrequency: '5m0s',
  nodeLeaseDurationSeconds: 40,
  clusterDNS: [],
  clusterDomain: '',
  resolvConf: '/etc/resolv.conf',
  registerWithTaints: [],
  systemReserved: {},
  kubeReserved: {},
  evictionHard: {
    'imagefs.available': '15%',
    'imagefs.inodesFree': '5%',
    'memory.available': '100Mi',
    'nodefs.available': '10%',
    'nodefs.inodesFree': '5%',
  },
  evictionSoft: {},
  evictionSoftGracePeriod: {},
  evictionMinimumReclaim: {},
  evictionPressureTransitionPeriod: '5m0s',
  evictionMaxPodGracePeriod: 0,
  imageGCHighThresholdPercent: 85,
  imageGCLowThresholdPercent: 80,
  imageMinimumGCAge: '2m0s',
  imageMaximumGCAge: '0s',
  containerLogMaxSize: '10Mi',
  containerLogMaxFiles: 5,
  shutdownGracePeriod: '0s',
  shutdownGracePeriodCriticalPods: '0s',
  localStorageCapacityIsolation: true,
  enableSystemLogHandler: true,
  allowedUnsafeSysctls: [],
  // Upstream pulls one after the other; here the registry and the disk set the pace.
  serializeImagePulls: false,
  maxParallelImagePulls: 0,
  imagePullCredentialsVerificationPolicy: 'NeverVerifyPreloadedImages',
  preloadedImagesVerificationAllowlist: [],
  crashLoopBackOff: { maxContainerRestartPeriod: '5m0s' },
  cpuManagerPolicy: 'none',
  cpuManagerPolicyOptions: {},
  reservedSystemCPUs: '',
  memoryManagerPolicy: 'None',
  reservedMemory: [],
  topologyManagerPolicy: 'none',
  topologyManagerScope: 'container',
  userNamespaces: {},
};

/** Values below zero, between zero and one, and the like, in one sentence each. */
type Rule = (value: unknown) => string | undefined;

const wholeFrom =
  (least: number): Rule =>
  value =>
    Number.isInteger(value) && Number(value) >= least ? undefined : `must be a whole number of at least ${least}`;
const percent: Rule = value =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 100 ? undefined : 'must be between 0 and 100';
const yesOrNo: Rule = value => (typeof value === 'boolean' ? undefined : 'must be true or false');
const words: Rule = value => (typeof value === 'string' ? undefined : 'must be a text');
const list: Rule = value => (Array.isArray(value) ? undefined : 'must be a list');
const span: Rule = value =>
  fails(() => parseGoDuration(String(value))) ? 'must be a duration such as 5m0s' : undefined;
const amount: Rule = value =>
  quantityError(String(value)) === undefined ? undefined : 'must be a quantity such as 10Mi';
const texts: Rule = value =>
  typeof value === 'object' && value !== null && Object.values(value).every(each => typeof each === 'string')
    ? undefined
    : 'must be a map of texts';

const oneOf =
  (...known: readonly string[]): Rule =>
  value =>
    known.includes(String(value)) ? undefined : `must be one of ${known.join(', ')}`;

const verificationPolicies = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
];

const rules: { readonly [Name in keyof KubeletConfiguration]: Rule } = {
  maxPods: wholeFrom(0),
  podsPerCore: wholeFrom(0),
  podPidsLimit: value => (Number(value) === -1 ? undefined : wholeFrom(1)(value)),
  staticPodPath: words,
  fileCheckFrequency: span,
  nodeStatusUpdateFrequency: span,
  nodeStatusReportFrequency: span,
  nodeLeaseDurationSeconds: wholeFrom(1),
  clusterDNS: list,
  clusterDomain: words,
  resolvConf: words,
  registerWithTaints: list,
  systemReserved: texts,
  kubeReserved: texts,
  evictionHard: texts,
  evictionSoft: texts,
  evictionSoftGracePeriod: texts,
  evictionMinimumReclaim: texts,
  evictionPressureTransitionPeriod: span,
  evictionMaxPodGracePeriod: value => (Number.isInteger(value) ? undefined : 'must be a whole number'),
  imageGCHighThresholdPercent: percent,
  imageGCLowThresholdPercent: percent,
  imageMinimumGCAge: span,
  imageMaximumGCAge: span,
  containerLogMaxSize: amount,
  containerLogMaxFiles: wholeFrom(2),
  shutdownGracePeriod: span,
  shutdownGracePeriodCriticalPods: span,
  localStorageCapacityIsolation: yesOrNo,
  enableSystemLogHandler: yesOrNo,
  allowedUnsafeSysctls: list,
  serializeImagePulls: yesOrNo,
  maxParallelImagePulls: wholeFrom(0),
  imagePullCredentialsVerificationPolicy: value =>
    verificationPolicies.includes(String(value)) ? undefined : `must be one of ${verificationPolicies.join(', ')}`,
  preloadedImagesVerificationAllowlist: list,
  crashLoopBackOff: value =>
    typeof value === 'object' && value !== null ? undefined : 'must have maxContainerRestartPeriod',
  cpuManagerPolicy: oneOf('none', 'static'),
  cpuManagerPolicyOptions: value => {
    const unknown = isMap(value) ? Object.keys(value).filter(name => !cpuPolicyOptions.includes(name)) : [];
    return unknown.length > 0 ? `must be of ${cpuPolicyOptions.join(', ')}` : texts(value);
  },
  reservedSystemCPUs: value => (fails(() => parseCpus(String(value))) ? 'must be CPUs such as 0-1,4' : undefined),
  memoryManagerPolicy: oneOf('None', 'Static'),
  reservedMemory: list,
  topologyManagerPolicy: oneOf('none', 'best-effort', 'restricted', 'single-numa-node'),
  topologyManagerScope: oneOf('container', 'pod'),
  userNamespaces: value => {
    const ids = isMap(value) && 'idsPerPod' in value ? value.idsPerPod : idsPerPodUnit;
    const isWhole = Number.isInteger(ids) && Number(ids) >= idsPerPodUnit && Number(ids) % idsPerPodUnit === 0;
    return isMap(value) && isWhole ? undefined : `must have idsPerPod as a multiple of ${idsPerPodUnit}`;
  },
};

/** Of the static policy; others are refused, because pods would get something else than they were promised. */
const cpuPolicyOptions = ['full-pcpus-only', 'strict-cpu-reservation'];
/** User ids that a pod with a user namespace gets at least, and its step. */
export const idsPerPodUnit = 65_536;

export interface ConfigurationSources {
  /** A KubeletConfiguration, YAML or JSON. */
  readonly file?: string;
  /** A folder of such files that end in `.conf`, each over the ones before, in the order of their names. */
  readonly directory?: string;
  /** From flags: above all files. */
  readonly flags?: Partial<KubeletConfiguration>;
}

/** The whole configuration of a kubelet. Throws with the file and the field when something is wrong. */
export function readConfiguration(sources: ConfigurationSources, log?: Log): KubeletConfiguration {
  const files = [
    ...(sources.file === undefined ? [] : [resolve(sources.file)]),
    ...(sources.directory === undefined ? [] : dropIns(resolve(sources.directory))),
  ];
  let merged: Record<string, unknown> = {};
  for (const path of files) merged = mergedWith(merged, readOne(path, log)) as Record<string, unknown>;
  const configuration = { ...defaultKubeletConfiguration, ...merged, ...sources.flags };
  if (configuration.imageGCLowThresholdPercent >= configuration.imageGCHighThresholdPercent)
    throw new Error(
      `cannot use the kubelet configuration: imageGCLowThresholdPercent ${configuration.imageGCLowThresholdPercent} must be less than imageGCHighThresholdPercent ${configuration.imageGCHighThresholdPercent}`,
    );
  const { shutdownGracePeriod, shutdownGracePeriodCriticalPods } = configuration;
  if (parseGoDuration(shutdownGracePeriodCriticalPods) > parseGoDuration(shutdownGracePeriod))
    throw new Error(
      `cannot use the kubelet configuration: shutdownGracePeriodCriticalPods ${shutdownGracePeriodCriticalPods} must be <= shutdownGracePeriod ${shutdownGracePeriod}`,
    );
  for (const signal of Object.keys(configuration.evictionSoft))
    if (!Object.hasOwn(configuration.evictionSoftGracePeriod, signal))
      throw new Error(
        `cannot use the kubelet configuration: grace period must be specified for the soft eviction threshold ${signal}`,
      );
  if (configuration.cpuManagerPolicy === 'none' && Object.keys(configuration.cpuManagerPolicyOptions).length > 0)
    throw new Error('cannot use the kubelet configuration: cpuManagerPolicyOptions need cpuManagerPolicy static');
  // What is wrong with them is said now, not when the node runs short.
  thresholdsOf(configuration);
  return configuration;
}

function dropIns(directory: string): readonly string[] {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
    throw new Error(`cannot read the kubelet configuration: ${directory} is no directory`);
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.conf'))
    .toSorted()
    .map(name => join(directory, name));
}

function readOne(path: string, log: Log | undefined): Record<string, unknown> {
  const wrong = (why: string, cause?: unknown) =>
    new Error(`cannot read the kubelet configuration in ${path}: ${why}`, { cause });
  let document: unknown;
  try {
    document = decodeYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : String(cause), cause);
  }
  const { apiVersion, kind, ...fields } = (document ?? {}) as Record<string, unknown>;
  if (apiVersion !== 'kubelet.config.k8s.io/v1beta1' || kind !== 'KubeletConfiguration')
    throw wrong(
      `it is ${String(kind)} in ${String(apiVersion)}, not KubeletConfiguration in kubelet.config.k8s.io/v1beta1`,
    );
  const known = Object.entries(fields).filter(([name]) => Object.hasOwn(rules, name));
  for (const [name, value] of known) {
    const complaint = rules[name as keyof KubeletConfiguration](value);
    if (complaint !== undefined) throw wrong(`${name} ${complaint}`);
  }
  const others = Object.keys(fields).filter(name => !Object.hasOwn(rules, name));
  if (others.length > 0) log?.warn('not every field of the kubelet configuration is heeded', { path, ignored: others });
  return Object.fromEntries(known);
}

/** Maps are merged, everything else is replaced, as upstream merges drop-ins. */
function mergedWith(below: unknown, above: unknown): unknown {
  if (!isMap(below) || !isMap(above)) return above;
  const merged = new Map(Object.entries(below));
  for (const [key, value] of Object.entries(above)) merged.set(key, mergedWith(merged.get(key), value));
  return Object.fromEntries(merged);
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fails(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch {
    // That it fails is the answer.
    return true;
  }
}

/** What is not for pods: `systemReserved` and `kubeReserved` together. */
export function reservedOf({ systemReserved, kubeReserved, reservedSystemCPUs }: KubeletConfiguration): {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly ephemeralStorageBytes: number;
} {
  const sum = (name: string, value: (text: string | undefined) => number) =>
    [systemReserved, kubeReserved].reduce(
      (total, each) => total + (Object.hasOwn(each, name) ? value(each[name]) : 0),
      0,
    );
  return {
    // CPUs that are named are what is reserved, whatever amounts are given beside them.
    cpuMilli: reservedSystemCPUs === '' ? sum('cpu', milliValue) : parseCpus(reservedSystemCPUs).length * 1000,
    memoryBytes: sum('memory', wholeValue),
    ephemeralStorageBytes: sum('ephemeral-storage', wholeValue),
  };
}
