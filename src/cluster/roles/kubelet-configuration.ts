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
  const flags = {
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
