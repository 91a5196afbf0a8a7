// What the page of the API shows of an OpenAPI document. Pure functions: nothing here reads the
// page or the network.

/**
 * @typedef {Record<string, any>} Schema
 * @typedef {{name: string, isRequired: boolean, schema: Schema}} Field
 * @typedef {{id: string, name: string, in: "path" | "query" | "header", isRequired: boolean,
 *   schema: Schema, example: string}} Parameter
 * @typedef {{name: string, text: string}} Example
 * @typedef {{status: string, description: string, headers: {name: string, description: string}[],
 *   type: string, schema: Schema | null, example: string}} Answered
 * @typedef {{id: string, method: string, path: string, summary: string, description: string,
 *   scope: string | null, parameters: Parameter[], body: Schema | null, examples: Example[],
 *   answers: Answered[], errors: {status: string, id: string}[]}} Operation
 * @typedef {{name: string, description: string, operations: Operation[]}} Tag
 * @typedef {{id: string, status: number, title: string, description: string, headers: string[],
 *   example: string}} Refusal
 */

/** Return what a `$ref` leads to; its own description goes first.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @returns {Schema}
 */
export function resolved(document, schema) {
  if (!schema.$ref) return schema;
  const { $ref, ...own } = schema;
  const found = $ref
    .slice(2)
    .split("/")
    .reduce((within, name) => within[name], document);
  return { name: $ref.split("/").pop(), ...resolved(document, found), ...own };
}

const ANY = "any JSON value";

function laidOut(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function headersOf(document, answer) {
  return Object.entries(answer.headers || {}).map(([name, header]) => ({
    name,
    description: resolved(document, header).description,
  }));
}

/**
 * @param {Schema} document
 * @param {string} path
 * @param {string} method
 * @param {Schema} operation
 * @returns {Operation}
 */
function read(document, path, method, operation) {
  const body = operation.requestBody?.content["application/json"];
  const given = Object.entries(operation.responses);
  const fields = resolved(document, body?.schema || {}).properties || {};
  const summary = operation.summary;
  return {
    id: operation.operationId,
    method: method.toUpperCase(),
    path,
    summary,
    description: operation.description === `${summary}.` ? "" : operation.description,
    scope: operation.security[0]?.key[0] || null,
    parameters: operation.parameters.map(({ name, in: where, required, ...rest }) => ({
      // A field of the body may have the same name.
      id: `${operation.operationId}.${name in fields ? `${where}.` : ""}${name}`,
      name,
      in: where,
      isRequired: required,
      schema: { ...rest.schema, description: rest.description },
      example: rest.example || rest.schema.examples?.[0] || "",
    })),
    body: body?.schema || null,
    examples: Object.values(body?.examples || {}).map(({ summary: name, value }) => ({
      name,
      text: laidOut(value),
    })),
    answers: given
      .filter(([, answer]) => !answer.$ref)
      .map(([status, answer]) => {
        const [type, content] = Object.entries(answer.content || {})[0] || ["", null];
        const examples = Object.values(content?.examples || {});
        return {
          status,
          description: answer.description,
          headers: headersOf(document, answer),
          type,
          schema: content?.schema || null,
          example: content ? laidOut(examples[0]?.value ?? content.example) : "",
        };
      }),
    errors: given
      .filter(([, answer]) => answer.$ref)
      .map(([status, answer]) => ({ status, id: answer.$ref.split("/").pop() })),
  };
}

/** Return the operations by their tags, in the document's order.
 *
 * @param {Schema} document
 * @returns {Tag[]}
 */
export function tagsOf(document) {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      tag: operation.tags[0],
      operation: read(document, path, method, operation),
    })),
  );
  return document.tags.map(({ name, description }) => ({
    name,
    description,
    operations: operations.filter(({ tag }) => tag === name).map(({ operation }) => operation),
  }));
}

/** Return the errors that operations name, by status.
 *
 * @param {Schema} document
 * @returns {Refusal[]}
 */
export function refusalsOf(document) {
  return Object.entries(document.components.responses).map(([id, answer]) => {
    const example = answer.content["application/problem+json"].example;
    return {
      id,
      status: example.status,
      title: example.title,
      description: answer.description,
      headers: headersOf(document, answer).map(({ name }) => name),
      example: laidOut(example),
    };
  });
}

/** Return an object's fields: the required ones first, those that are only read last.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @returns {Field[]}
 */
export function fieldsOf(document, schema) {
  const needed = schema.required || [];
  const fields = Object.entries(schema.properties || {}).map(([name, member]) => ({
    name,
    isRequired: needed.includes(name),
    schema: resolved(document, member),
  }));
  const rank = (field) => (field.isRequired ? 0 : field.schema.readOnly ? 2 : 1);
  return fields.sort((one, other) => rank(one) - rank(other));
}

/** Return the objects that a value may be or contain: more than one are alternatives.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @returns {Schema[]}
 */
export function objectsIn(document, schema) {
  const found = resolved(document, schema);
  if (found.properties) return [found];
  if (found.items) return objectsIn(document, found.items);
  return (found.anyOf || []).flatMap((each) => objectsIn(document, each));
}

/** Return a value's type in a few words.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @returns {string}
 */
export function typeWords(document, schema) {
  const found = resolved(document, schema);
  if (found.anyOf) {
    const words = new Set(found.anyOf.map((each) => typeWords(document, each)));
    // A batch takes any value in a job's place, only to refuse it by itself.
    if (words.size > 1) words.delete(ANY);
    return [...words].join(" or ");
  }
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.type === "array") return `array of ${plural(typeWords(document, found.items))}`;
  const members = found.additionalProperties;
  if (typeof members === "object") return `object of ${plural(typeWords(document, members))}`;
  if (found.format === "http-url") return "URL";
  return found.format || found.type || ANY;
}

function plural(words) {
  return /^(string|integer|number|object|boolean|date-time)$/.test(words) ? `${words}s` : words;
}

const UNITS = { Length: "characters", Items: "items", Properties: "entries", imum: "" };

/** Return a value's limits in words: "1 to 600", "at most 200 characters".
 *
 * @param {Schema} schema
 * @returns {string}
 */
export function limitWords(schema) {
  const all = [schema, ...(schema.anyOf || [])];
  for (const [word, unit] of Object.entries(UNITS)) {
    const of = (name) => all.map((each) => each[name + word]).find((each) => each !== undefined);
    const [least, most] = [of("min"), of("max")];
    const range =
      least !== undefined && most !== undefined
        ? `${least} to ${most}`
        : most !== undefined
          ? `at most ${most}`
          : least !== undefined
            ? `at least ${least}`
            : "";
    if (range) return `${range} ${unit}`.trim();
  }
  return "";
}

/**
 * Return a request of an operation, for `languages.js`.
 *
 * @param {Operation} operation
 * @param {Record<string, string>} values of parameters by name; empty ones are left out
 * @param {string} body as it is typed
 * @param {(path: string) => string} url returns the URL of a path
 * @param {boolean} isKeyed whether a key is asked for
 * @returns {import("./languages.js").Sent}
 */
export function requestOf(operation, values, body, url, isKeyed) {
  const of = (where) =>
    operation.parameters.filter((each) => each.in === where && values[each.name]);
  const path = of("path").reduce(
    (made, { name }) => made.replace(`{${name}}`, segment(values[name])),
    operation.path,
  );
  const query = new URLSearchParams(of("query").map(({ name }) => [name, values[name]]));
  return {
    method: operation.method,
    url: url(path) + (query.size ? `?${query}` : ""),
    headers: Object.fromEntries(of("header").map(({ name }) => [name, values[name]])),
    body: operation.body ? body : null,
    isKeyed: isKeyed && operation.scope !== null,
    answers: operation.answers[0].type,
  };
}

function segment(value) {
  // A job is named by its key as key:report, which may stand in a path.
  return encodeURIComponent(value).replaceAll("%3A", ":");
}

/**
 * Call `visit` with each field within a value, and the field's id and path: "request.url".
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @param {string} id of the value
 * @param {(field: Field, id: string, path: string, of: Schema) => void} visit
 * @param {string} [path]
 */
export function walk(document, schema, id, visit, path = "") {
  for (const { object, within } of partsOf(document, schema, id)) {
    for (const field of fieldsOf(document, object)) {
      const at = path + field.name;
      visit(field, `${within}.${field.name}`, at, object);
      walk(document, field.schema, `${within}.${field.name}`, visit, `${at}.`);
    }
  }
}

/** Return the objects that a value may be or contain, each with the id of its fields' parent.
 *
 * @param {Schema} document
 * @param {Schema} schema
 * @param {string} id
 */
export function partsOf(document, schema, id) {
  const objects = objectsIn(document, schema);
  return objects.map((object, at) => ({
    object,
    within: objects.length > 1 ? `${id}.${at + 1}` : id,
  }));
}

/**
 * Return what the search finds: operations, then fields, each with the words that lead to it.
 *
 * @param {Schema} document
 * @param {Tag[]} tags
 */
export function indexOf(document, tags) {
  const operations = tags.flatMap((tag) => tag.operations);
  const of = ({ method, path }) => `${method} ${path}`;
  const entries = operations.map((operation) => ({
    href: `#${operation.id}`,
    name: operation.summary,
    where: of(operation),
    words: `${of(operation)} ${operation.summary} ${operation.description}`.toLowerCase(),
  }));
  const add = (operation, id, name, description) =>
    entries.push({
      href: `#${id}`,
      name,
      where: of(operation) + (/^\w+\.\d{3}\./.test(id) ? ", answer" : ""),
      words: `${name} ${description}`.toLowerCase(),
    });
  const seen = firstOf(document, operations);
  for (const operation of operations) {
    for (const { id, name, schema } of operation.parameters)
      add(operation, id, name, schema.description);
    for (const [schema, id] of valuesOf(operation))
      walk(document, schema, id, ({ name, schema: { description = "" } }, at, path, object) => {
        if (seen.get(object.name) === at.slice(0, -name.length - 1))
          add(operation, at, path, description);
      });
  }
  for (const { id, status, title, description } of refusalsOf(document))
    entries.push({
      href: `#${id}`,
      name: `${status} ${title}`,
      where: "Errors",
      words: `${status} ${title} ${description}`.toLowerCase(),
    });
  return entries;
}

/**
 * @param {Operation} operation
 * @returns {[Schema, string][]}
 */
function valuesOf({ id, body, answers }) {
  const shown = answers.filter((answer) => answer.schema);
  return [
    ...(body ? [/** @type {[Schema, string]} */ ([body, id])] : []),
    ...shown.map(
      ({ schema, status }) =>
        /** @type {[Schema, string]} */ ([/** @type {Schema} */ (schema), `${id}.${status}`]),
    ),
  ];
}

/**
 * Return for each named object the id of where the page shows it first.
 *
 * @param {Schema} document
 * @param {Operation[]} operations
 * @returns {Map<string, string>}
 */
export function firstOf(document, operations) {
  const first = new Map();
  for (const operation of operations)
    for (const [schema, id] of valuesOf(operation))
      walk(document, schema, id, ({ name }, at, _, object) => {
        if (!first.has(object.name)) first.set(object.name, at.slice(0, -name.length - 1));
      });
  return first;
}
