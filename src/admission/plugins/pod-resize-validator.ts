import { deepEqual } from '#base/deep-equal.ts';
import { milliValue, wholeValue } from '#api/machinery/quantity.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { aggregateRequests } from '#api/core/v1/pod-resources.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { forbidden, isOf, objectOf, oldOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';

/** A pod does not grow beyond what its node has, and only on Linux. */
export function podResizeValidator(sources: Sources): AdmissionPlugin {
  const nodes = sources.informers.of(Node);
  return {
    name: 'PodResizeValidator',
    handles: request => request.operation === 'UPDATE' && request.subresource === 'resize' && isOf(request, Pod),
    async validate(request) {
      const { spec } = objectOf(Pod, request);
      const nodeName = spec?.nodeName ?? '';
      if (!spec || nodeName === '' || deepEqual(spec, oldOf(Pod, request)?.spec)) return;
      const node = await find(sources, nodes, nodeName);
      if (!node) throw forbidden(request, `node ${JSON.stringify(nodeName)} not found`);
      const requested = aggregateRequests(spec);
      const { cpu, memory } = node.status?.allocatable ?? {};
      const tooMuch: string[] = [];
      const compare = (what: string, wanted: number, there: number) => {
        if (wanted > there) tooMuch.push(`${what}, requested: ${wanted}, allocatable: ${there}`);
      };
      compare('cpu', milliValue(requested['cpu']), milliValue(cpu));
      compare('memory', wholeValue(requested['memory']), wholeValue(memory));
      if (tooMuch.length > 0)
        throw forbidden(request, `Node didn't have enough allocatable resources: ${tooMuch.join('; ')}`);
      const system = node.metadata.labels?.['kubernetes.io/os'] ?? '';
      if (system !== 'linux')
        throw forbidden(
          request,
          `pod resize is only supported on linux nodes, node ${JSON.stringify(nodeName)} is ${JSON.stringify(system)}`,
        );
    },
  };
}
