import { choice, duration, file, list, text, type ComponentArguments, type ComponentFlag } from './component.ts';
import { admissionFlags } from './kube-apiserver-admission.ts';
import { authenticationFlags, authorizationFlags } from './kube-apiserver-auth.ts';
import { requestFlags } from './kube-apiserver-requests.ts';

/**
 * The flags of upstream's kube-apiserver that `--kube-apiserver-arg NAME=VALUE` takes, by upstream's names. A flag is one
 * line here (its form by the functions of component.ts: file, list, wholeNumber, boolean, duration, choice, text); what it
 * does is wired in `../control-plane.ts`, which is given the parsed values as `apiServerArguments['audit-policy-file']`.
 */
export const kubeApiserverFlags = {
  ...authenticationFlags,
  ...authorizationFlags,
  ...requestFlags,
  ...admissionFlags,
  'etcd-servers': list('the etcd servers (scheme://host:port, comma separated) that keep the objects', 'URLS'),
  'etcd-prefix': text('what stands before every key in etcd (default /registry)', 'PATH'),
  'etcd-compaction-interval': duration('how often history is compacted, in whatever store (default 5m; 0s: never)'),
  'event-ttl': duration('how long Events live (default 1h)'),
  'etcd-cafile': file('the authorities that etcd is verified with'),
  'etcd-certfile': file('the certificate shown to etcd'),
  'etcd-keyfile': file('the key of the certificate shown to etcd'),
  'storage-media-type': choice('how built-in kinds are written into etcd (default application/json)', [
    'application/json',
    'application/vnd.kubernetes.protobuf',
  ]),
  'runtime-config': list(
    'API versions and resources to serve beside the default ones: GROUP/VERSION=true',
    'KEY=BOOLEAN',
  ),
  'service-node-port-range': portRange('the ports that NodePort Services get (default 30000-32767)'),
};

export type KubeApiserverArguments = ComponentArguments<typeof kubeApiserverFlags>;

function portRange(does: string): ComponentFlag<{ readonly first: number; readonly last: number }> {
  return {
    does,
    value: 'FIRST-LAST',
    parse(given) {
      const [, first = '', last = ''] = /^(\d{1,5})-(\d{1,5})$/.exec(given) ?? [];
      const range = { first: Number(first), last: Number(last) };
      if (first === '' || range.first < 1 || range.first > range.last || range.last > 65_535)
        throw new Error(`takes a range of ports like 30000-32767, not ${JSON.stringify(given)}`);
      return range;
    },
  };
}
