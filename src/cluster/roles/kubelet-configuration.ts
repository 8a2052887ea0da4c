import type { Log } from '#base/log.ts';
import { readConfiguration, type KubeletConfiguration } from '#kubelet/configuration.ts';
import type { KubeletArguments } from '../flags/kubelet.ts';

/** What the files say, and the flags above them. */
export function kubeletConfiguration(given: KubeletArguments, log?: Log): KubeletConfiguration {
  const {
    config,
    'config-dir': directory,
    'max-pods': maxPods,
    'pod-manifest-path': staticPodPath,
    'eviction-hard': evictionHard,
    'allowed-unsafe-sysctls': allowedUnsafeSysctls,
    'resolv-conf': resolvConf,
  } = given;
  const isToldNothing = config === undefined && directory === undefined && evictionHard === undefined;
  const flags = {
    ...(isToldNothing && { evictionHard: evictionOnSharedMachine }),
    ...(maxPods !== undefined && { maxPods }),
    ...(staticPodPath !== undefined && { staticPodPath }),
    ...(evictionHard && { evictionHard: Object.fromEntries(evictionHard.map(thresholdOf)) }),
    ...(allowedUnsafeSysctls && { allowedUnsafeSysctls }),
    ...(resolvConf !== undefined && { resolvConf }),
  };
  return readConfiguration(
    { ...(config !== undefined && { file: config }), ...(directory !== undefined && { directory }), flags },
    log,
  );
}

function thresholdOf(each: string): readonly [string, string] {
  const [signal = '', below] = each.split('<');
  if (below === undefined) throw new Error(`kubelet eviction-hard takes SIGNAL<AMOUNT, not ${JSON.stringify(each)}`);
  return [signal, below];
}

/** A machine that is not the cluster's alone is often fuller than upstream's 85 % and works well: here 95 % are too much. */
const evictionOnSharedMachine = {
  'imagefs.available': '5%',
  'imagefs.inodesFree': '5%',
  'memory.available': '100Mi',
  'nodefs.available': '5%',
  'nodefs.inodesFree': '5%',
};
