import { parseCidr } from '#base/ip.ts';
import type { ComponentArguments, ComponentFlag } from './component.ts';

/** The flags of upstream's kube-proxy that `--kube-proxy-arg NAME=VALUE` takes, for every node: see kube-apiserver.ts. */
export const kubeProxyFlags = {
  'nodeport-addresses': addressRanges(
    'where node ports answer: ranges, or `primary` for InternalIPs (default: everywhere)',
  ),
};

/** CIDRs, or the one word `primary`. */
function addressRanges(does: string): ComponentFlag<readonly string[]> {
  return {
    does,
    value: 'CIDR,…|primary',
    parse(given) {
      const ranges = given.split(',').map(each => each.trim());
      const wrong = ranges.find(each => !parseCidr(each) && (each !== 'primary' || ranges.length > 1));
      if (wrong !== undefined)
        throw new Error(`takes ranges like 192.0.2.0/24, or primary alone, not ${JSON.stringify(wrong)}`);
      return ranges;
    },
  };
}

export type KubeProxyArguments = ComponentArguments<typeof kubeProxyFlags>;
