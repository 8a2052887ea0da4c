import type { SubresourceHandlers } from '../subresource.ts';
import { podAttach, podExec, podPortForward } from './exec.ts';
import { podLog } from './log.ts';
import { proxy } from './proxy.ts';
import { nodeBackend, podBackend, serviceBackend, type ProxySources } from './proxy-target.ts';

/** Everything that goes through the API server to a node agent, a pod or a service. */
export function streamingHandlers(sources: ProxySources): SubresourceHandlers {
  const { agents } = sources;
  return {
    'pods/log': podLog(agents),
    'pods/exec': podExec(agents),
    'pods/attach': podAttach(agents),
    'pods/portforward': podPortForward(agents),
    'pods/proxy': proxy('PodProxyOptions', (namespace, name) => podBackend(sources, namespace, name)),
    'services/proxy': proxy('ServiceProxyOptions', (namespace, name) => serviceBackend(sources, namespace, name)),
    'nodes/proxy': proxy('NodeProxyOptions', (_namespace, name) => nodeBackend(sources, name)),
  };
}
