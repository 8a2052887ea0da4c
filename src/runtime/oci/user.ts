import type { ContainerUser, LinuxContainerSecurityContext } from '../runtime.ts';
import { RuntimeError } from '../runtime.ts';

/** The image's own account files, as text; empty when it has none. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/**
 * Who a container's process is: the pod's numbers win over the image's `USER`, names are looked up in the image.
 * `supplementalGroupsPolicy: strict` leaves out the memberships that the image's /etc/group gives.
 */
export function resolveUser(
  security: LinuxContainerSecurityContext | undefined,
  imageUser: string,
  files: AccountFiles,
): ContainerUser {
  const [userPart = '', groupPart = ''] = imageUser.split(':');
  const wanted =
    security?.runAsUser !== undefined ? String(security.runAsUser) : (security?.runAsUsername ?? (userPart || '0'));
  const account = findAccount(wanted, files.passwd);
  const fromImage = security?.runAsUser === undefined && security?.runAsUsername === undefined;
  const gid = security?.runAsGroup ?? (fromImage && groupPart ? findGroup(groupPart, files.group) : (account.gid ?? 0));
  const memberships =
    security?.supplementalGroupsPolicy === 'strict' || !account.name ? [] : groupsOf(account.name, files.group);
  const supplementalGroups = [...new Set([gid, ...memberships, ...(security?.supplementalGroups ?? [])])];
  return { uid: account.uid, gid, supplementalGroups };
}

const idMax = 2 ** 31 - 1;

function findAccount(wanted: string, passwd: string): { uid: number; gid?: number; name?: string } {
  const rows = passwd.split('\n').map(line => line.split(':'));
  const numeric = /^\d+$/.test(wanted);
  const row = rows.find(fields => fields.length >= 4 && (numeric ? fields[2] === wanted : fields[0] === wanted));
  if (!row && !numeric)
    throw new RuntimeError('InvalidArgument', `unable to find user ${wanted}: no matching entries in passwd file`);
  const uid = Number(row?.[2] ?? wanted);
  if (!Number.isInteger(uid) || uid > idMax)
    throw new RuntimeError('InvalidArgument', `uids and gids must be in range 0-${idMax}: ${wanted}`);
  return row ? { uid, gid: Number(row[3]) || 0, name: row[0] } : { uid };
}

function findGroup(wanted: string, group: string): number {
  if (/^\d+$/.test(wanted)) return Number(wanted);
  const row = group
    .split('\n')
    .map(line => line.split(':'))
    .find(fields => fields[0] === wanted);
  if (!row)
    throw new RuntimeError('InvalidArgument', `unable to find group ${wanted}: no matching entries in group file`);
  return Number(row[2]);
}

function groupsOf(name: string, group: string): number[] {
  return group
    .split('\n')
    .map(line => line.split(':'))
    .filter(fields => fields[3]?.split(',').includes(name))
    .map(fields => Number(fields[2]))
    .filter(Number.isInteger);
}
