import { readFileSync } from 'node:fs';
import { writeFileAtomic } from '../../../src/lib/files.js';
import { imageArchive } from '../../../src/provision/image-archive.js';
import type { TarEntry } from '../../../src/provision/tar.js';

/** The image that the tests' pods run: busybox and nothing else. */
export const testImage = 'hamlet.test/busybox:1';

/** From Debian's busybox-static, which the set-up installs. */
const busybox = '/bin/busybox';

/** Programs that find busybox under their own names on the image's PATH. */
const applets =
  'cat chmod cp date df dd echo env find grep head hostname httpd id ip kill ln ls md5sum mkdir mount nc nslookup od ps rm ' +
  'seq sh sha256sum sleep stat sync tail tee test touch true uname umount vi wc wget whoami yes';

/** Writes the image `ref` as a docker-archive. Whole or not at all: containerd may be watching the folder. */
export function writeTestImage(file: string, ref = testImage): void {
  const folders = ['bin', 'etc', 'tmp', 'var', 'www'];
  const entries: TarEntry[] = [
    ...folders.map((name): TarEntry => ({ type: 'directory', name, mode: name === 'tmp' ? 0o1777 : 0o755 })),
    { type: 'file', name: 'bin/busybox', mode: 0o755, data: readFileSync(busybox) },
    ...applets
      .split(' ')
      .map((name): TarEntry => ({ type: 'symlink', name: `bin/${name}`, target: 'busybox' })),
    { type: 'file', name: 'etc/passwd', mode: 0o644, data: Buffer.from('root:x:0:0:root:/:/bin/sh\n') },
    { type: 'file', name: 'etc/group', mode: 0o644, data: Buffer.from('root:x:0:\n') },
  ];
  const config = { Cmd: ['sh'], Env: ['PATH=/bin'], WorkingDir: '/' };
  writeFileAtomic(file, imageArchive(ref, config, entries), 0o644);
}
