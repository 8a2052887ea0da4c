import { runtimeSuite } from '#runtime/suite.ts';
import { cannotRunContainerd, startContainerd } from './containerd.ts';

const skip = await cannotRunContainerd();

runtimeSuite(
  'cri',
  async () => {
    const containerd = await startContainerd();
    return {
      runtime: containerd.runtime,
      image: 'docker.io/library/client:latest',
      endsWith3: { command: ['sh', '-c', 'exit 3'] },
      logDirectory: containerd.logDirectory,
      [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
    };
  },
  skip,
);
