import { durationProblems, targetProblems } from './istio-rules.ts';
import { type FieldProblem, forbidden, invalid, required } from './kind.ts';
import type { RequestAuthentication } from './request-authentication.ts';

/** The rules of the RequestAuthentication definition and of Istio's webhook beyond the schema. */
export function validateRequestAuthentication({ spec }: RequestAuthentication): FieldProblem[] {
  const problems = targetProblems(spec);
  spec?.jwtRules?.forEach((rule, index) => {
    const at = `spec.jwtRules[${index}]`;
    const { jwksUri, jwks_uri: jwksUriSnake, jwks } = rule;
    if ((rule.issuer ?? '') === '' && jwksUri === undefined && jwksUriSnake === undefined)
      problems.push(required(`${at}.issuer`, 'issuer or jwksUri must be given'));
    if ([jwksUri, jwksUriSnake, jwks].filter((value) => value !== undefined).length > 1)
      problems.push(forbidden(at, 'only one of jwks or jwksUri can be set'));
    for (const [name, uri] of Object.entries({ jwksUri, jwks_uri: jwksUriSnake }))
      if (uri !== undefined && !/^https?:\/\/./.test(uri))
        problems.push(invalid(`${at}.${name}`, uri, 'must be a URL of scheme http or https'));
    if (jwks !== undefined && jwks !== '' && !isKeySet(jwks)) problems.push(invalid(`${at}.jwks`, jwks, 'must be a JSON Web Key Set'));
    problems.push(...durationProblems(rule.timeout, `${at}.timeout`));
  });
  return problems;
}

function isKeySet(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && ('keys' in parsed || 'kty' in parsed);
  } catch {
    return false; // not JSON at all: the caller reports it
  }
}
