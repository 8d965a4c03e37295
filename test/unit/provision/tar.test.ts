import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { imageArchive } from '../../../src/provision/image-archive.js';
import { tarArchive, type TarEntry } from '../../../src/provision/tar.js';

void t.test('GNU tar unpacks what was packed', async (t) => {
  const folder = t.testdir();
  const sizes = [0, 1, 511, 512, 513, 70_000];
  const files = sizes.map((bytes): TarEntry => ({
    type: 'file',
    name: `bin/file-${bytes}`,
    mode: 0o640 + (bytes % 8),
    data: Buffer.alloc(bytes, `${bytes} `),
  }));
  const archive = path.join(folder, 'archive.tar');
  const entries: TarEntry[] = [
    { type: 'directory', name: 'bin', mode: 0o755 },
    ...files,
    { type: 'symlink', name: 'bin/link', target: '../bin/file-1' },
    { type: 'file', name: 'n'.repeat(100), mode: 0o600, data: Buffer.from('long name') },
  ];
  writeFileSync(archive, tarArchive(entries));
  execFileSync('tar', ['-xpf', archive, '-C', folder], { stdio: ['ignore', 'inherit', 'inherit'] });
  for (const file of files) {
    if (file.type !== 'file') continue;
    const place = path.join(folder, file.name);
    t.ok(readFileSync(place).equals(Buffer.from(file.data)), file.name);
    t.equal(lstatSync(place).mode & 0o777, file.mode);
    t.equal(lstatSync(place).mtimeMs, 0);
  }
  t.equal(readlinkSync(path.join(folder, 'bin/link')), '../bin/file-1');
  t.equal(readFileSync(path.join(folder, 'n'.repeat(100)), 'utf8'), 'long name');
  t.match(execFileSync('tar', ['-tvf', archive], { encoding: 'utf8' }), /^drwxr-xr-x 0\/0 .* bin\/$/m);
});

void t.test('any content comes out of the archive as it went in', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (data) => {
      const archive = tarArchive([{ type: 'file', name: 'f', mode: 0o644, data }]);
      const out = execFileSync('tar', ['-xO', 'f'], { input: archive });
      return archive.length % 512 === 0 && out.equals(Buffer.from(data));
    }),
    { numRuns: 30 },
  );
  t.pass();
});

void t.test('a name that does not fit is refused', async (t) => {
  const entry: TarEntry = { type: 'directory', name: 'é'.repeat(50), mode: 0o755 };
  t.throws(() => tarArchive([entry]), { code: 'INVALID_ARGUMENT' }, '100 bytes and the slash');
});

void t.test('an image archive has the parts that name each other', async (t) => {
  const entries: TarEntry[] = [{ type: 'file', name: 'pause', mode: 0o755, data: Buffer.from('program') }];
  const make = () => imageArchive('example.test/pause:1', { Entrypoint: ['/pause'] }, entries);
  t.ok(make().equals(make()), 'the same bytes each time');

  const folder = t.testdir();
  execFileSync('tar', ['-x', '-C', folder], { input: make() });
  const json = (name: string) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as unknown;
  const [manifest] = json('manifest.json') as [{ Config: string; RepoTags: string[]; Layers: string[] }];
  t.same(manifest.RepoTags, ['example.test/pause:1']);
  const sha256 = (name: string) =>
    execFileSync('sha256sum', [path.join(folder, name)], { encoding: 'utf8' }).slice(0, 64);
  t.equal(manifest.Config, `${sha256(manifest.Config)}.json`);
  t.match(json(manifest.Config), {
    os: 'linux',
    config: { Entrypoint: ['/pause'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256('layer.tar')}`] },
  });
  t.equal(
    execFileSync('tar', ['-xOf', path.join(folder, 'layer.tar'), 'pause'], { encoding: 'utf8' }),
    'program',
  );
});
