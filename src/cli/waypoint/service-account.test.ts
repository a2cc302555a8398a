import { expect, test } from 'bun:test';
import { EXIT } from '../exit.ts';
import { serviceAccountAnswer, servicesOfAccount } from './service-account.ts';

test('finds the services whose pods run as the account, by their selectors', () => {
  const pods = [
    { metadata: { labels: { app: 'api', version: 'v1' } }, spec: { serviceAccountName: 'inference-sa' } },
    { metadata: { labels: { app: 'web' } }, spec: {} },
  ];
  const services = [
    { metadata: { name: 'web' }, spec: { selector: { app: 'web' } } },
    { metadata: { name: 'api-v1' }, spec: { selector: { app: 'api', version: 'v1' } } },
    { metadata: { name: 'api' }, spec: { selector: { app: 'api' } } },
    { metadata: { name: 'api-v2' }, spec: { selector: { app: 'api', version: 'v2' } } },
    { metadata: { name: 'headless' }, spec: {} },
  ];
  expect(servicesOfAccount('inference-sa', services, pods)).toEqual(['api', 'api-v1']);
  expect(servicesOfAccount('default', services, pods)).toEqual(['web']);
});

test('answers the old form with a command per service, as an error of usage', () => {
  const answer = serviceAccountAnswer('inference-sa', { namespace: 'ai-inference' }, ['inference-api']);
  expect(answer.code).toBe(EXIT.usage);
  expect(answer.remedy).toContain('lateen waypoint apply -n ai-inference --name inference-sa-waypoint --wait');
  expect(answer.remedy).toContain('lateen label service inference-api -n ai-inference istio.io/use-waypoint=inference-sa-waypoint');
  expect(serviceAccountAnswer('a', {}, []).remedy).toContain('lateen label service SERVICE istio.io/use-waypoint=a-waypoint');
});
