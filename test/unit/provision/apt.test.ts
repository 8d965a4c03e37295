import { createHash } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { findArchive, sourcesList } from '../../../src/provision/apt.js';
import { findDownloads, parseDsc, upstreamVersion } from '../../../src/provision/downloads.js';

const { signal } = new AbortController();

/** A record as `apt-get indextargets` prints it, with the fields that are looked at and some that are not. */
const record = (fields: Record<string, string>) =>
  Object.entries({
    MetaKey: 'main/binary-amd64/Packages',
    Description: 'http://mirror.example/debian bookworm/main amd64 Packages',
    Codename: 'bookworm',
    Origin: 'Debian',
    Component: 'main',
    'Repo-URI': 'http://mirror.example/debian/',
    'Target-Of': 'deb',
    ...fields,
  })
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('');

void t.test("the archive is the one that the machine's apt uses for the release", async (t) => {
  const others = [
    record({ Origin: 'Vendor', 'Repo-URI': 'http://vendor.example/' }),
    record({ Component: 'contrib', 'Repo-URI': 'http://contrib.example/' }),
    record({ Codename: 'bookworm-updates', 'Repo-URI': 'http://updates.example/' }),
    record({ Codename: 'trixie', 'Repo-URI': 'http://trixie.example/' }),
  ];
  t.equal(findArchive(others.join('\n'), 'bookworm'), undefined);
  t.equal(findArchive('', 'bookworm'), undefined, 'before the first apt-get update');
  const uri = 'https://user@mirror.example:8080/debian/';
  t.same(findArchive([...others, record({ 'Repo-URI': uri })].join('\n'), 'bookworm'), {
    uri,
    codename: 'bookworm',
  });
});

void t.test('the private source list has source packages only', async (t) => {
  const archive = { uri: 'http://mirror.example/debian/', codename: 'bookworm' };
  t.equal(
    sourcesList(archive, '/keys/debian.gpg'),
    'Types: deb-src\nURIs: http://mirror.example/debian/\nSuites: bookworm\nComponents: main\nSigned-By: /keys/debian.gpg\n',
  );
  t.notMatch(sourcesList(archive, undefined), /Signed-By/);
});

void t.test('upstream versions within those of Debian', async (t) => {
  const cases = {
    '1.20.5+really1.20.2-1.1+deb12u1': '1.20.2',
    '1.0.2-2': '1.0.2',
    '2:1.19~1': '1.19~1',
    '1.20.2': '1.20.2',
  };
  for (const [debian, upstream] of Object.entries(cases)) t.equal(upstreamVersion(debian), upstream);
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const dsc = (name: string, version: string, orig: string) => `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Format: 3.0 (quilt)
Source: ${name}
Version: ${version}
Checksums-Sha1:
 06d562409795c779a4826a71e50228f6eb969493 ${orig.length} ${name}_${version}.orig.tar.gz
Checksums-Sha256:
 ${sha256(orig)} ${orig.length} ${name}_${version}.orig.tar.gz
 ${sha256('debian')} 6 ${name}_${version}-1.debian.tar.xz
Files:
 20b98978e86e1e783dd226ce966a85e8 ${orig.length} ${name}_${version}.orig.tar.gz

-----BEGIN PGP SIGNATURE-----
`;

void t.test('a .dsc file names its files and their SHA-256', async (t) => {
  const text = dsc('kubernetes', '1.20.2', 'source');
  t.same(parseDsc(text), {
    version: '1.20.2',
    files: [
      { name: 'kubernetes_1.20.2.orig.tar.gz', sha256: sha256('source') },
      { name: 'kubernetes_1.20.2-1.debian.tar.xz', sha256: sha256('debian') },
    ],
  });
  t.equal(parseDsc(''), undefined);
  t.equal(parseDsc(text.slice(0, text.indexOf('Checksums-Sha256'))), undefined, 'one that was cut off');
});

void t.test('downloads count when they are whole', async (t) => {
  const cacheDir = t.testdir({ downloads: {} });
  const file = (name: string) => path.join(cacheDir, 'downloads', name);
  const write = (name: string, version: string) => {
    writeFileSync(file(`${name}_${version}.dsc`), dsc(name, version, 'source'));
    writeFileSync(file(`${name}_${version}.orig.tar.gz`), 'source');
    writeFileSync(file(`${name}_${version}-1.debian.tar.xz`), 'debian');
  };
  t.equal(await findDownloads(cacheDir, signal), undefined);
  write('kubernetes', '1.20.2');
  t.equal(await findDownloads(cacheDir, signal), undefined, 'reflect2 is missing');
  write('golang-github-modern-go-reflect2', '1.0.2');
  const orig = file('kubernetes_1.20.2.orig.tar.gz');
  t.match(await findDownloads(cacheDir, signal), { kubernetes: { version: '1.20.2', orig } });
  appendFileSync(orig, '!');
  t.equal(await findDownloads(cacheDir, signal), undefined, 'a file with other content');
  writeFileSync(orig, 'sour');
  t.equal(await findDownloads(cacheDir, signal), undefined, 'a file that was cut off');
});
