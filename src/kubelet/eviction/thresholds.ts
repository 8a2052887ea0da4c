import { parseGoDuration } from '#api/machinery/duration.ts';
import { wholeValue } from '#api/machinery/quantity.ts';
import type { KubeletConfiguration } from '../configuration.ts';

/** What a node can run short of. */
export type Signal =
  | 'memory.available'
  | 'nodefs.available'
  | 'nodefs.inodesFree'
  | 'imagefs.available'
  | 'imagefs.inodesFree'
  | 'pid.available';

export type Pressure = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

export const pressureOf: Readonly<Record<Signal, Pressure>> = {
  'memory.available': 'MemoryPressure',
  'nodefs.available': 'DiskPressure',
  'nodefs.inodesFree': 'DiskPressure',
  'imagefs.available': 'DiskPressure',
  'imagefs.inodesFree': 'DiskPressure',
  'pid.available': 'PIDPressure',
};

/** The name of what is short in messages. */
export const resourceOf: Readonly<Record<Signal, string>> = {
  'memory.available': 'memory',
  'nodefs.available': 'ephemeral-storage',
  'nodefs.inodesFree': 'inodes',
  'imagefs.available': 'ephemeral-storage',
  'imagefs.inodesFree': 'inodes',
  'pid.available': 'pids',
};

/** Bytes, files or processes; `share` is of the capacity. */
export type Amount = { readonly value: number; readonly text: string } | { readonly share: number };

export interface Threshold {
  readonly signal: Signal;
  /** A hard one is acted on at once. */
  readonly graceMs: number;
  readonly isHard: boolean;
  readonly below: Amount;
  readonly reclaim: Amount | undefined;
}

export function amountIn(amount: Amount, capacity: number): number {
  return 'share' in amount ? Math.floor(amount.share * capacity) : amount.value;
}

/** Throws with the signal that is wrong. */
export function thresholdsOf(configuration: KubeletConfiguration): readonly Threshold[] {
  const { evictionHard, evictionSoft, evictionSoftGracePeriod, evictionMinimumReclaim } = configuration;
  const reclaimOf = (signal: string) =>
    Object.hasOwn(evictionMinimumReclaim, signal) ? amountOf(signal, evictionMinimumReclaim[signal] ?? '') : undefined;
  const read = (of: Readonly<Record<string, string>>, isHard: boolean) =>
    Object.entries(of).flatMap(([name, text]) => {
      const signal = signalOf(name);
      const below = amountOf(name, text);
      // Zero means that nobody is evicted for it.
      if ('share' in below ? below.share === 0 : below.value === 0) return [];
      const graceMs = isHard ? 0 : parseGoDuration(evictionSoftGracePeriod[name] ?? '0s');
      return [{ signal, graceMs, isHard, below, reclaim: reclaimOf(name) }];
    });
  return [...read(evictionHard, true), ...read(evictionSoft, false)];
}

/** The containers' writable layers are on the same file system as the images. */
const sameAs: Readonly<Record<string, Signal>> = {
  'containerfs.available': 'imagefs.available',
  'containerfs.inodesFree': 'imagefs.inodesFree',
};

function signalOf(name: string): Signal {
  if (Object.hasOwn(sameAs, name)) return sameAs[name] as Signal;
  if (Object.hasOwn(pressureOf, name)) return name as Signal;
  throw new Error(`cannot use the kubelet configuration: unknown eviction signal ${JSON.stringify(name)}`);
}

function amountOf(signal: string, text: string): Amount {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent) {
    const share = Number(percent[1]) / 100;
    if (share > 1)
      throw new Error(`cannot use the kubelet configuration: eviction threshold ${signal} must be <= 100%`);
    return { share };
  }
  const value = wholeValue(text);
  if (value < 0 || (value === 0 && !text.startsWith('0')))
    throw new Error(`cannot use the kubelet configuration: eviction threshold ${signal} is no quantity: ${text}`);
  return { value, text };
}
