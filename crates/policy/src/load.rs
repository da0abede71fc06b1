//! From files to a policy set that may decide: parse, name, validate, and try the engine out.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use cedar_policy as cedar;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{Schema, ValidationMode, Validator};

use crate::classes::{CLASSES_FILE, ClassTable};
use crate::diagnosis;
use crate::error::{Finding, PolicyError, WHOLE_SET, shorten};
use crate::files::{PolicyFile, SCHEMA_FILE, complete, digest, is_policy_file};
use crate::fit::{lacking, try_out, unfit};
use crate::limits::{LOAD_STACK_BYTES, POLICIES_MAX, POLICY_ID_MAX};
use crate::literals;
use crate::nesting;
use crate::request::Vocabulary;
use crate::set::{Effect, OBLIGATIONS, PolicyInfo, PolicySet, split_obligations};

/// Annotations that mean something; any other is probably a misspelling of one of them.
const ANNOTATIONS: [&str; 3] = ["id", "obligation", "description"];

/// Where the files of a set come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody wants to put them in force.
    New,
    /// They were in force once. What decided then must be readable for good, so a name that nothing has is a
    /// warning in them.
    Recorded,
}

/// Loads a policy set, or refuses it with every problem found. Runs on a stack of its own, because
/// the engine's parser and validator recurse and must not depend on how much the caller has left.
pub(crate) fn load(files: Vec<PolicyFile>, origin: Origin) -> Result<PolicySet, PolicyError> {
    on_load_stack(move || load_here(files, origin)).unwrap_or_else(|why| Err(PolicyError::SelfTest(why)))
}

/// Runs what recurses as deep as a policy's expressions go. The error says what failed.
pub(crate) fn on_load_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("policy-load".to_owned())
            .stack_size(LOAD_STACK_BYTES)
            .spawn_scoped(scope, run)
            .map_err(|error| format!("no thread to load policies on: {error}"))?
            .join()
            .map_err(|_| "the parser or validator failed".to_owned())
    })
}

fn load_here(files: Vec<PolicyFile>, origin: Origin) -> Result<PolicySet, PolicyError> {
    let files = complete(files).map_err(PolicyError::Refused)?;
    let deep: Vec<Finding> = files.iter().filter_map(too_deep).collect();
    if !deep.is_empty() {
        return Err(PolicyError::Refused(deep));
    }
    let mut findings = Vec::new();
    let mut warnings = Vec::new();
    let schema = parse_schema(&files, &mut warnings).map_err(|finding| findings.push(finding)).ok();
    let classes = parse_classes(&files).map_err(|found| findings.extend(found)).ok();
    let parsed = parse_policies(&files, &mut findings, &mut warnings);
    // Validation names policies by their ids, so it waits until every policy has one.
    let (Some(schema), Some(classes), true) = (schema, classes, findings.is_empty()) else {
        return Err(refuse(findings));
    };
    // A schema that lacks an action would be shown as a mistake in every policy that names it.
    findings.extend(lacking(&schema));
    if findings.is_empty() {
        validate(&files, &schema, &parsed, &mut findings, &mut warnings);
        let misspelt = literals::misspelt(&files, &classes);
        if origin == Origin::New { &mut findings } else { &mut warnings }.extend(misspelt);
        warnings.extend(literals::unknown(&files, &classes));
    }
    if !findings.is_empty() {
        return Err(refuse(findings));
    }
    let vocabulary = Vocabulary::new(schema).map_err(|why| refuse(vec![unfit(&why)]))?;
    let authorizer = cedar::Authorizer::new();
    try_out(&vocabulary, &authorizer)?;
    let digest = digest(&files).map_err(|error| PolicyError::SelfTest(error.to_string()))?;
    warnings.sort();
    warnings.dedup();
    let mut policies = parsed.infos;
    policies.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(PolicySet {
        files,
        digest,
        policies,
        warnings,
        classes,
        cedar: parsed.cedar,
        vocabulary,
        authorizer,
        rules: OnceLock::new(),
    })
}

fn refuse(mut findings: Vec<Finding>) -> PolicyError {
    findings.sort();
    // One mistake is found again for every action.
    findings.dedup();
    PolicyError::Refused(findings)
}

fn too_deep(file: &PolicyFile) -> Option<Finding> {
    // The class table's parser has a bound of its own.
    let cedar = is_policy_file(&file.path) || file.path == SCHEMA_FILE;
    let (offset, message) = if cedar { nesting::check(&file.text).err()? } else { return None };
    Some(Finding::at(&file.path, &file.text, offset..offset + 1, message))
}

fn parse_schema(files: &[PolicyFile], warnings: &mut Vec<Finding>) -> Result<Schema, Finding> {
    let text = text_of(files, SCHEMA_FILE).unwrap_or_default();
    let told = |error: DetailedError| diagnosis::finding(SCHEMA_FILE, text, &error, &[]);
    let (schema, found) =
        Schema::from_cedarschema_str(text).map_err(|error| told(DetailedError::from(&error)))?;
    warnings.extend(found.map(|warning| told(DetailedError::from(&warning))));
    Ok(schema)
}

fn parse_classes(files: &[PolicyFile]) -> Result<ClassTable, Vec<Finding>> {
    text_of(files, CLASSES_FILE).map_or_else(|| Ok(ClassTable::default()), ClassTable::parse)
}

fn text_of<'a>(files: &'a [PolicyFile], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}

/// The policies under their own ids.
#[derive(Default)]
struct Parsed {
    cedar: cedar::PolicySet,
    infos: Vec<PolicyInfo>,
    /// Id to position in `infos`.
    by_id: HashMap<String, usize>,
}

fn parse_policies(files: &[PolicyFile], findings: &mut Vec<Finding>, warnings: &mut Vec<Finding>) -> Parsed {
    let mut parsed = Parsed::default();
    for file in files.iter().filter(|file| is_policy_file(&file.path)) {
        match file.text.parse::<cedar::PolicySet>() {
            Ok(set) => {
                findings.extend(set.templates().map(|template| {
                    let loc = AsRef::as_ref(template).loc();
                    let span = loc.map_or(0..0, |loc| loc.span.offset()..loc.span.offset() + loc.span.len());
                    let message = "this is a template, which no policy directory can fill in; name the principal or resource";
                    Finding::at(&file.path, &file.text, span, message)
                }));
                for policy in set.policies() {
                    parsed.add(file, policy, findings, warnings);
                }
            }
            Err(errors) => {
                let told = |e| diagnosis::finding(&file.path, &file.text, &DetailedError::from(e), &[]);
                findings.extend(errors.iter().map(told));
            }
        }
    }
    if parsed.infos.len() > POLICIES_MAX {
        let message = format!("there are {} policies, more than {POLICIES_MAX}", parsed.infos.len());
        findings.push(Finding::of_file(WHOLE_SET, message));
    }
    parsed
}

impl Parsed {
    /// Cedar numbers the policies of each text from `policy0`; only the `@id` names one for good.
    fn add(
        &mut self,
        file: &PolicyFile,
        policy: &cedar::Policy,
        findings: &mut Vec<Finding>,
        warnings: &mut Vec<Finding>,
    ) {
        let loc = AsRef::as_ref(policy).loc();
        let span = loc.map_or(0..0, |loc| loc.span.offset()..loc.span.offset() + loc.span.len());
        let at = |message: String| Finding::at(&file.path, &file.text, span.clone(), message);
        let id = match check_id(policy.annotation("id")) {
            Ok(id) => id,
            Err(message) => return findings.push(at(message)),
        };
        if let Some(other) = self.by_id.get(id).and_then(|at| self.infos.get(*at)) {
            let message =
                format!("`@id(\"{id}\")` is taken by {}:{}; choose another", other.file, other.line);
            return findings.push(at(message));
        }
        warnings.extend(annotation_warnings(policy).into_iter().map(at));
        warnings.extend(reaches_the_server_side(policy, file, span.clone(), id));
        if let Err(error) = self.cedar.add(policy.new_id(cedar::PolicyId::new(id))) {
            return findings.push(at(error.to_string()));
        }
        let effect = match policy.effect() {
            cedar::Effect::Permit => Effect::Permit,
            cedar::Effect::Forbid => Effect::Forbid,
        };
        let line = at(String::new()).line;
        self.by_id.insert(id.to_owned(), self.infos.len());
        self.infos.push(PolicyInfo { id: id.to_owned(), effect, file: file.path.clone(), line });
    }
}

fn check_id(id: Option<&str>) -> Result<&str, String> {
    let id = id.ok_or("the policy has no `@id(\"…\")`; decisions name policies by it, so give it one")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/');
    if id.is_empty() || id.len() > POLICY_ID_MAX || !id.bytes().all(plain) {
        let id = shorten(id, POLICY_ID_MAX);
        return Err(format!(
            "`@id(\"{id}\")` is not usable; 1 to {POLICY_ID_MAX} of letters, digits, `.`, `_`, `-`, `:` and `/`"
        ));
    }
    Ok(id)
}

fn annotation_warnings(policy: &cedar::Policy) -> Vec<String> {
    let unknown = policy.annotations().filter(|(name, _)| !ANNOTATIONS.contains(name)).map(|(name, _)| {
        let name = shorten(name, 60);
        format!("annotation `@{name}` has no effect; known are `@{}`", ANNOTATIONS.join("`, `@"))
    });
    let obligations = policy.annotation("obligation").into_iter().flat_map(split_obligations);
    let unregistered = obligations.filter(|name| !OBLIGATIONS.contains(name)).map(|name| {
        let name = shorten(name, 60);
        format!("obligation `{name}` is not known here; every act that this policy permits will be denied")
    });
    unknown.chain(unregistered).collect()
}

/// Permits that name no action reach what a server asks for as well, and are seldom meant to.
fn reaches_the_server_side(
    policy: &cedar::Policy,
    file: &PolicyFile,
    span: Range<usize>,
    id: &str,
) -> Option<Finding> {
    let any = policy.effect() == cedar::Effect::Permit
        && policy.action_constraint() == cedar::ActionConstraint::Any;
    let message = format!(
        "`{id}` permits what a server asks for too (sampling, elicitation, roots), because it names no action"
    );
    let help = "write `action in Deeds::Action::\"act\"` for what the agent does; permit what a server asks for by name";
    let place = action_word(&file.text, span.clone()).unwrap_or(span);
    any.then(|| Finding::at(&file.path, &file.text, place, message).help(Some(help.to_owned())))
}

/// The word `action` in the head of a policy.
fn action_word(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    let mut before = "";
    nesting::tokens(text.get(span.clone())?)
        .filter(|(_, token)| !token.trim().is_empty() && !token.starts_with("//"))
        .find(|(_, token)| {
            let found = *token == "action" && before != "@";
            before = *token;
            found
        })
        .map(|(at, token)| span.start + at..span.start + at + token.len())
}

fn validate(
    files: &[PolicyFile],
    schema: &Schema,
    parsed: &Parsed,
    findings: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let result = Validator::new(schema.clone()).validate(&parsed.cedar, ValidationMode::Strict);
    let known: Vec<String> = schema.actions().map(|action| action.id().unescaped().to_owned()).collect();
    let place = |id: &cedar::PolicyId, error: &DetailedError| {
        let info = parsed.by_id.get(AsRef::<str>::as_ref(id)).and_then(|at| parsed.infos.get(*at));
        let (path, text) = info
            .and_then(|info| Some((info.file.as_str(), text_of(files, &info.file)?)))
            .unwrap_or((WHOLE_SET, ""));
        diagnosis::finding(path, text, error, &known)
    };
    findings.extend(result.validation_errors().map(|e| place(e.policy_id(), &DetailedError::from(e))));
    warnings.extend(result.validation_warnings().map(|w| place(w.policy_id(), &DetailedError::from(w))));
}

#[cfg(test)]
#[path = "load/tests.rs"]
mod tests;
