//! ConfigMaps, Secrets, and metadata of Freight and Stages.

use expr::{Env, Function, LookupCache, LookupKey, Secrets, Value};

use super::arguments::text;
use super::lookups::{
    CONFIG_MAP, FREIGHT_STATUS, SECRET, SHARED_CONFIG_MAP, SHARED_SECRET, STAGE_METADATA,
};

pub(super) fn install(env: &mut Env, cache: &LookupCache) {
    for (name, doc) in [
        (
            CONFIG_MAP,
            "The data of a ConfigMap of the Project; `{}` where there is none of that name.",
        ),
        (SHARED_CONFIG_MAP, "The data of a ConfigMap in the namespace of shared resources."),
    ] {
        let cache = cache.clone();
        env.set_function(
            Function::new(name, move |args| cache.get(LookupKey::new(name, [text(args)?])))
                .with_arity(1..=1)
                .with_signature(format!("{name}(name)"))
                .with_doc(doc),
        );
    }
    for (name, doc) in [
        (
            SECRET,
            "The data of a Secret of the Project as text; `{}` where there is none of that name. The values are masked wherever they could be shown.",
        ),
        (
            SHARED_SECRET,
            "The data of a Secret in the namespace of shared resources, if it is labelled as generic credentials.",
        ),
    ] {
        let cache = cache.clone();
        let secrets = env.secrets().clone();
        env.set_function(
            Function::new(name, move |args| {
                let value = cache.get(LookupKey::new(name, [text(args)?]))?;
                remember(&secrets, &value);
                Ok(value)
            })
            .with_arity(1..=1)
            .with_signature(format!("{name}(name)"))
            .with_doc(doc),
        );
    }
    let answers = cache.clone();
    env.set_function(
        Function::new("freightStatus", move |args| {
            answers.get(LookupKey::new(FREIGHT_STATUS, [freight(args)?]))
        })
        .with_arity(1..=1)
        .with_signature("freightStatus(freight)")
        .with_doc("The status of a Freight: where it is, was verified and is approved for; nil where there is none of that name."),
    );
    let answers = cache.clone();
    env.set_function(
        Function::new("freightMetadata", move |args| {
            let status = answers.get(LookupKey::new(FREIGHT_STATUS, [freight(args)?]))?;
            Ok(status.member("metadata"))
        })
        .with_arity(1..=1)
        .with_signature("freightMetadata(freight)")
        .with_doc("What steps have kept about a Freight; nil where there is nothing, so read it with `?.`."),
    );
    let answers = cache.clone();
    env.set_function(
        Function::new(STAGE_METADATA, move |args| {
            let stage = text(args)?;
            if stage.is_empty() {
                return Err("stage name must not be empty".into());
            }
            answers.get(LookupKey::new(STAGE_METADATA, [stage]))
        })
        .with_arity(1..=1)
        .with_signature("stageMetadata(stage)")
        .with_doc("What steps have kept about a Stage; nil where there is nothing."),
    );
}

fn freight(args: &[Value]) -> Result<&str, expr::FunctionError> {
    let name = text(args)?;
    if name.is_empty() {
        return Err("freight ref name must not be empty".into());
    }
    Ok(name)
}

fn remember(secrets: &Secrets, value: &Value) {
    for (_, value) in value.as_map().into_iter().flat_map(expr::Map::iter) {
        secrets.add(&value.to_text());
    }
}
