import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * The layers of docs/architecture.md, top to bottom. A room may import rooms of lower layers only; what stands on one
 * layer does not know its neighbours.
 */
const LAYERS = [
  ['cli'],
  ['daemon'],
  ['backend'],
  ['lease', 'external-interface', 'tun'],
  ['etcd-watch', 'firewall', 'subnet-file', 'network-config', 'routing-table', 'encap', 'rtnetlink'],
  ['native', 'go-json', 'ip', 'log', 'errors'],
];

const SOURCE = join(import.meta.dirname, '../src');
const rooms = readdirSync(SOURCE).filter((name) => statSync(join(SOURCE, name)).isDirectory());

function filesOf(room: string): string[] {
  return readdirSync(join(SOURCE, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(SOURCE, room, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function roomsImportedBy(room: string): Set<string> {
  const imported = filesOf(room)
    .flatMap(importsOf)
    .map((path) => /^\.\.\/([a-z-]+)\//.exec(path)?.[1]);
  return new Set(imported.filter((name) => name !== undefined));
}

const layerOf = (room: string) => LAYERS.findIndex((layer) => layer.includes(room));

describe('the house', () => {
  it('has exactly the rooms that the layers name', () => {
    expect(rooms.sort()).toEqual(LAYERS.flat().sort());
  });

  it.each(rooms)('%s imports only what lies below it', (room) => {
    const upwards = [...roomsImportedBy(room)].filter((other) => layerOf(other) <= layerOf(room));
    expect(upwards).toEqual([]);
  });

  it.each(rooms)('no file of %s is part of an import cycle', (room) => {
    const graph = new Map(
      filesOf(room).map((file) => [
        file,
        importsOf(file)
          .filter((path) => path.startsWith('./'))
          .map((path) => join(file, '..', path)),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      expect(path, [...path, file].join(' -> ')).not.toContain(file);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of graph.keys()) visit(file, []);
  });

  it('is described room by room in docs/architecture.md', () => {
    const text = readFileSync(join(import.meta.dirname, '../docs/architecture.md'), 'utf8');
    expect(rooms.filter((room) => !text.includes(`\`src/${room}/\``))).toEqual([]);
  });

  it('knows Node headers in the binding only', () => {
    const core = join(SOURCE, '../native/core');
    const offenders = readdirSync(core).filter((name) => readFileSync(join(core, name), 'utf8').includes('node_api'));
    expect(offenders).toEqual([]);
  });
});
