import { readFileSync } from 'node:fs';

/** A row of /proc/self/mountinfo that matters here. */
export interface Mount {
  readonly id: number;
  /** The ID of the mount that it lies on. */
  readonly parent: number;
  /** Major and minor number of the file system. */
  readonly device: string;
  /** Which folder of the file system is mounted: "/" unless it is a bind mount. */
  readonly root: string;
  readonly point: string;
  readonly type: string;
}

/** All mounts of this mount namespace, in the order in which they were made (proc(5), mountinfo). */
export function listMounts(): Mount[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [id, parent, device = '', root = '', point = ''] = before.split(' ');
      const [type = ''] = after.split(' ');
      return {
        id: Number(id),
        parent: Number(parent),
        device,
        root: unescape(root),
        point: unescape(point),
        type,
      };
    });
}

/** Mount points below a folder, the last made first: the order in which they can be taken away. */
export function mountsBelow(folder: string): Mount[] {
  return listMounts()
    .filter((mount) => mount.point === folder || mount.point.startsWith(`${folder}/`))
    .reverse();
}

/** Space, tab, newline and backslash stand as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
