//! Promotions that users make with names of their own, where no admission
//! webhook stands before the API.

use api::PromotionPhase;
use e2e::examples::text;
use e2e::{Pipeline, await_that};

const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const STAGE: &str = "frontend-dev-stage";

#[tokio::test(flavor = "multi_thread")]
async fn any_name_will_do_and_the_order_is_that_of_their_making() {
    let pipeline = Pipeline::start().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    for file in
        ["project.yaml", "application.yaml", "promotion-task.yaml", "stage.yaml", "warehouse.yaml"]
    {
        pipeline.apply(&text(&format!("quickstart/{file}"))).await;
    }
    let first = pipeline.promoted("develop", STAGE, "v1.0.0").await;
    let freight = first.spec.freight.clone().expect("it has Freight");
    // Names that sort after and before all that admission would give.
    for name in ["zz-by-hand", "aa-by-hand"] {
        let status = pipeline.promoted_by_hand("develop", STAGE, name, &freight).await;
        assert_eq!(status.phase, PromotionPhase::Succeeded, "{name}: {}", status.message);
        // The Stage knows it as its last one, though the names say otherwise.
        await_that::object(pipeline.of::<api::Stage>("develop"), "the last Promotion", move |s| {
            let status = s.status.clone().unwrap_or_default();
            status.last_promotion.is_some_and(|last| last.name == name)
                && status.current_promotion.is_none()
        })
        .await;
    }
    let promotions = pipeline.of::<api::Promotion>("develop").list(&Default::default()).await;
    assert_eq!(promotions.expect("they can be listed").items.len(), 3);
}
