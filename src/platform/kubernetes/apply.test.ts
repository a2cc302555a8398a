import { expect, test } from 'bun:test';
import { ManifestError, parseManifests } from './apply.ts';

test('reads any number of documents, unfolds lists and skips empty ones', () => {
  const text = `
# only a comment
---
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
---
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"on": "yes"}}]}
`;
  expect(parseManifests(text, 'file').map((object) => `${object.kind}/${object.metadata?.name}`)).toEqual(['Namespace/a', 'ConfigMap/b']);
  expect(parseManifests('', 'file')).toEqual([]);
});

test('says which document is wrong and what it lacks', () => {
  const message = (text: string): string => {
    try {
      parseManifests(text, 'f.yaml');
    } catch (error) {
      expect(error).toBeInstanceOf(ManifestError);
      return (error as Error).message;
    }
    return '';
  };
  expect(message('apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\na: [')).toContain('f.yaml, document 2');
  expect(message('apiVersion: v1\nmetadata: {name: a}')).toBe('f.yaml, document 1: kind is missing');
  expect(message('apiVersion: v1\nkind: Pod')).toBe('f.yaml, document 1: Pod needs metadata.name');
  expect(message('- a')).toBe('f.yaml, document 1 is not an object');
});
