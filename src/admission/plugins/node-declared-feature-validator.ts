import { deepEqual } from '#base/deep-equal.ts';
import { compareTexts } from '#api/core/v1/pod-resources.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { forbidden, isOf, objectOf, oldOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';

/** What a change of a running pod asks of its node's agent (KEP-5328): the name that the node has to declare. */
const features: readonly (readonly [name: string, isNeeded: (pod: Pod, old: Pod) => boolean])[] = [
  ['GuaranteedQoSPodCPUResize', changesGuaranteedCpu],
  ['InPlacePodLevelResourcesVerticalScaling', (pod, old) => !deepEqual(pod.spec?.resources, old.spec?.resources)],
];

/** A pod is not changed in a way that its node cannot follow. */
export function nodeDeclaredFeatureValidator(sources: Sources): AdmissionPlugin {
  const nodes = sources.informers.of(Node);
  return {
    name: 'NodeDeclaredFeatureValidator',
    handles: request =>
      request.operation === 'UPDATE' &&
      (request.subresource === '' || request.subresource === 'resize') &&
      isOf(request, Pod),
    async validate(request) {
      const [pod, old] = [objectOf(Pod, request), oldOf(Pod, request)];
      const nodeName = pod.spec?.nodeName ?? '';
      if (!old || nodeName === '') return;
      const needed = features.filter(([, isNeeded]) => isNeeded(pod, old)).map(([name]) => name);
      if (needed.length === 0) return;
      const node = await find(sources, nodes, nodeName);
      if (!node) throw forbidden(request, `node ${JSON.stringify(nodeName)} not found`);
      const missing = needed.filter(name => !node.status?.declaredFeatures?.includes(name));
      if (missing.length > 0)
        throw forbidden(
          request,
          `pod update requires features ${missing.join(', ')} which are not available on node ${JSON.stringify(nodeName)}`,
        );
    },
  };
}

function changesGuaranteedCpu(pod: Pod, old: Pod): boolean {
  if (old.status?.qosClass !== 'Guaranteed') return false;
  const wanted = pod.spec?.containers ?? [];
  return (old.spec?.containers ?? []).some(
    ({ resources }, index) =>
      compareTexts(resources?.requests?.['cpu'], wanted[index]?.resources?.requests?.['cpu']) !== 0,
  );
}
