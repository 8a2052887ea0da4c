import { errors } from '#api/machinery/errors.ts';
import { kubernetesVersion } from '#api/machinery/version.ts';
import { readOnly, type RawPath } from './subresource.ts';
import { jsonResponse } from './text.ts';

const { major, minor, gitVersion } = kubernetesVersion;

const version = {
  major,
  minor,
  emulationMajor: major,
  emulationMinor: minor,
  minCompatibilityMajor: major,
  minCompatibilityMinor: String(Number(minor) - 1),
  gitVersion,
  gitCommit: 'windlass',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: process.version,
  compiler: 'v8',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

export const versionPath: RawPath = {
  path: '/version',
  prefix: true,
  handle: readOnly(({ path, headers }) => {
    if (path !== '/version' && path !== '/version/') throw errors.noSuchResource();
    const accept = [headers['accept'] ?? '*/*'].flat().join(',');
    if (!/^\s*$|\*\/\*|application\/json/.test(accept))
      throw errors.other('NotAcceptable', '406: Not Acceptable\n\nAvailable representations: application/json', {});
    return jsonResponse(200, version);
  }),
};
