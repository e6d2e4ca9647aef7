"""What is said of the baselines for sequences: RAMer's tables 2 and 3."""

from __future__ import annotations

from harness.specs import CompatSpec, ModelSpec, Paper

SEQUENCES: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="carat",
        factory="harness_baselines.carat:Carat",
        summary="Contrastive feature reconstruction and aggregation, with label prototypes",
        defaults="harness_baselines:carat.yaml",
        paper=Paper(
            title="CARAT: Contrastive Feature Reconstruction and Aggregation for Multi-Modal "
            "Multi-Label Emotion Recognition",
            authors="Cheng Peng, Ke Chen, Lidan Shou, Gang Chen",
            venue="AAAI",
            year=2024,
            url="https://doi.org/10.1609/aaai.v38i13.29374",
        ),
        reported_as="carat",
        compat=CompatSpec(swap_pr=True, val_drop_last=64, exchange=(("m3ed", "visual", "audio"),)),
        deviations=(
            "Single-label data: cross entropy and softmax stand in for binary cross entropy and "
            "sigmoid; the authors have no such head.",
            "Shuffle permutations come from the run's torch generator, not NumPy's global one.",
            "A missing modality is one null position; the authors' loaders know none.",
            "Validation keeps all samples; the authors drop the last incomplete batch.",
        ),
    ),
    ModelSpec(
        name="cc",
        factory="harness_baselines.cc:ClassifierChains",
        summary="Classifier chains on pooled features",
        defaults="harness_baselines:cc.yaml",
        paper=Paper(
            title="Classifier chains for multi-label classification",
            authors="Jesse Read, Bernhard Pfahringer, Geoff Holmes, Eibe Frank",
            venue="Machine Learning",
            year=2011,
            url="https://doi.org/10.1007/s10994-011-5256-5",
        ),
        reported_as="cc",
        deviations=(
            "The tables that carry this row state neither base classifier nor label order; here "
            "logistic regression, in the data set's order (base, order).",
            "Sequences are averaged over valid frames and joined (pooling).",
        ),
    ),
    ModelSpec(
        name="tailor",
        factory="harness_baselines.tailor:Tailor",
        summary="Adversarial private and common parts, fused in a hierarchy, read by label queries",
        defaults="harness_baselines:tailor.yaml",
        paper=Paper(
            title="Tailor Versatile Multi-Modal Learning for Multi-Label Emotion Recognition",
            authors="Yi Zhang, Mingyuan Chen, Jundong Shen, Chongjun Wang",
            venue="AAAI",
            year=2022,
            url="https://doi.org/10.1609/aaai.v36i8.20895",
        ),
        reported_as="tailor",
        compat=CompatSpec(select="last", swap_pr=True, val_drop_last=64, test_drop_last=64),
        deviations=(
            "The test scores the best epoch by validation; the authors' code tests the last one.",
            "Validation and test keep all samples; the authors drop the last incomplete batch.",
            "The alignment term is CTC's closed form for its published, degenerate lengths.",
            "Positions valid in no modality are masked in the common part; the authors attend to "
            "all, which under their masks of ones is the same.",
            "A missing modality is one null position; the authors' loaders know none.",
            "Single-label data: cross entropy and softmax stand in for binary cross entropy and "
            "sigmoid; the authors have no such head.",
        ),
    ),
    ModelSpec(
        name="mult",
        factory="harness_baselines.mult:Mult",
        summary="Multimodal transformer: every modality attends to every other, without alignment",
        defaults="harness_baselines:mult.yaml",
        paper=Paper(
            title="Multimodal Transformer for Unaligned Multimodal Language Sequences",
            authors="Yao-Hung Hubert Tsai, Shaojie Bai, Paul Pu Liang, J. Zico Kolter, "
            "Louis-Philippe Morency, Ruslan Salakhutdinov",
            venue="ACL",
            year=2019,
            url="https://doi.org/10.18653/v1/P19-1656",
        ),
        reported_as="mult",
        deviations=(
            "One sigmoid per label and binary cross entropy; the authors regress sentiment. "
            "Single-label data: softmax and cross entropy.",
            "The presets read the last valid step and mask padding; the authors read the last "
            "padded step and attend to padding (readout=last_step, key_padding=none).",
            "The causal offset comes from the data set's padded lengths, not from a batch's.",
            "Constant learning rate; the authors divide it by 10 on a plateau of the validation "
            "loss, which the loop does not watch.",
            "A missing modality is one null position; the authors' loaders know none.",
        ),
    ),
    ModelSpec(
        name="amp",
        factory="harness_baselines.amp:Amp",
        summary="Joint transformer trained against masked positions and perturbed weights",
        defaults="harness_baselines:amp.yaml",
        paper=Paper(
            title="Learning Robust Multi-Modal Representation for Multi-Label Emotion Recognition "
            "via Adversarial Masking and Perturbation",
            authors="Shiping Ge, Zhiwei Jiang, Zifeng Cheng, Cong Wang, Yafeng Yin, Qing Gu",
            venue="WWW",
            year=2023,
            url="https://doi.org/10.1145/3543507.3583258",
        ),
        reported_as="amp",
        compat=CompatSpec(select="val_acc_first"),
        deviations=(
            "The best epoch is the one with the highest validation micro-F1; the authors take the "
            "first with the highest sample accuracy.",
            "Positions outside the batch's mask are left out; the authors have no masks, which "
            "under masks of ones is the same.",
            "A missing modality is one null position; the authors' loaders know none.",
            "The masked branch is left out of prediction and of the perturbed pass, where its "
            "result is not used.",
            "Of a modality with fewer than 2 k positions half are masked; the authors need more "
            "than k.",
            "Single-label data: cross entropy and softmax stand in for the asymmetric loss and "
            "sigmoid; the authors have no such head.",
        ),
    ),
    ModelSpec(
        name="hhmpn",
        factory="harness_baselines.hhmpn:Hhmpn",
        summary="Heterogeneous hierarchical message passing between features, labels, modalities",
        defaults="harness_baselines:hhmpn.yaml",
        paper=Paper(
            title="Multi-modal Multi-label Emotion Recognition with Heterogeneous Hierarchical "
            "Message Passing",
            authors="Dong Zhang, Xincheng Ju, Wei Zhang, Junhui Li, Shoushan Li, Qiaoming Zhu, "
            "Guodong Zhou",
            venue="AAAI",
            year=2021,
            url="https://doi.org/10.1609/aaai.v35i16.17686",
        ),
        reported_as="hhmpn",
        compat=CompatSpec(select="per_metric_val"),
        deviations=(
            "The default is the paper's model; the released code exchanges the text and visual "
            "streams, lets labels compete in the fusion and switches label-to-label messages off "
            "(streams=released, fusion_softmax=labels, label_to_label=false).",
            "Size 128 instead of 512 with 3+3+2 instead of 6+6+3 layers; the preset `reference` "
            "has the authors' size.",
            "Batches of 64 in one pass; the authors add up the gradients of eight batches of 8.",
            "One selected epoch gives all metrics; the authors pick an epoch for each metric.",
            "The causal offset comes from the data set's padded lengths, not from a batch's.",
            "Single-label data: softmax and cross entropy; the authors have no such head.",
            "A missing modality is one null position; the authors' loaders know none.",
        ),
        variants=(
            ("released", "streams=released fusion_softmax=labels label_to_label=false"),
            ("tied", "tie_readout=true"),
        ),
    ),
    ModelSpec(
        name="mms2s",
        factory="harness_baselines.mms2s.model:Mms2s",
        summary="Emotions as a set, generated one after another with soft modality attention",
        defaults="harness_baselines:mms2s.yaml",
        paper=Paper(
            title="Multi-modal Multi-label Emotion Detection with Modality and Label Dependence",
            authors="Dong Zhang, Xincheng Ju, Junhui Li, Shoushan Li, Qiaoming Zhu, Guodong Zhou",
            venue="EMNLP",
            year=2020,
            url="https://doi.org/10.18653/v1/2020.emnlp-main.291",
        ),
        reported_as="mms2s",
        deviations=(
            "Built from the abstract, the authors' sibling model MESGN and the set objective of "
            "Qin et al. (2019): the authors published no code, so nothing is numerically theirs.",
            "Scores are label marginals over the candidate sets, arranged so that the declared "
            "threshold gives the most probable set (native_decision=false: marginals alone); a "
            "tuned threshold then adds or removes labels around that set.",
            "Encoders have sinusoidal positions and mask padding; MESGN's have neither.",
            "A set's probability is exact up to four labels and sums 24 orders beyond.",
            "Adam at 1e-4 with linear warm-up; MESGN's code follows the Noam schedule.",
            "A missing modality is left out of the modality attention.",
            "Single-label data: one label, a softmax at the first step.",
        ),
        variants=(
            ("modality_attention=gate", "One decoder per modality, weighed at the end (MESGN)"),
            ("objective=ordered", "Cross entropy of the frequency-ordered label sequence"),
        ),
    ),
    ModelSpec(
        name="misa",
        factory="harness_baselines.misa:Misa",
        summary="Modality-invariant and -specific parts, kept apart by losses, fused by attention",
        defaults="harness_baselines:misa.yaml",
        paper=Paper(
            title="MISA: Modality-Invariant and -Specific Representations for Multimodal "
            "Sentiment Analysis",
            authors="Devamanyu Hazarika, Roger Zimmermann, Soujanya Poria",
            venue="ACM MM",
            year=2020,
            url="https://doi.org/10.1145/3394171.3413678",
        ),
        reported_as="misa",
        deviations=(
            "One sigmoid per label and binary cross entropy; the authors regress sentiment. "
            "Single-label data: softmax and cross entropy.",
            "Text is read from the data set's vectors, by recurrent layers or averaged (pooled); "
            "the authors fine-tune BERT or train a word embedding.",
            "Every modality has its own length; the authors have one for all.",
            "A missing modality's vector is zero and leaves every batch statistic; the authors "
            "know none.",
            "The best epoch is the one with the highest validation micro-F1; the authors take the "
            "lowest validation loss.",
            "At a distance of 0 the moment discrepancy has gradient 0; the authors' is not a "
            "number.",
            "The shared-private discriminator, which enters no loss of the authors, is left out.",
        ),
    ),
    ModelSpec(
        name="ml-gcn",
        factory="harness_baselines.ml_gcn:MlGcn",
        summary="Label classifiers generated from the graph of labels that occur together",
        defaults="harness_baselines:ml_gcn.yaml",
        paper=Paper(
            title="Multi-Label Image Recognition with Graph Convolutional Networks",
            authors="Zhao-Min Chen, Xiu-Shen Wei, Peng Wang, Yanwen Guo",
            venue="CVPR",
            year=2019,
            url="https://doi.org/10.1109/CVPR.2019.00532",
        ),
        reported_as="ml-gcn",
        deviations=(
            "Convolutions over time with a global maximum stand for the image network; what stood "
            "there in the emotion tables is not published.",
            "Unaligned modalities are read apart and joined after; the published unaligned row "
            "aligns them first (aligner=50).",
            "Label vectors are one-hot by default; the authors' are word vectors "
            "(label_vectors=file).",
            "The presets paper and quick have smaller graph layers and Adam; the authors' sizes "
            "and SGD are the preset reference.",
            "A label that never occurs in training keeps only itself; the authors divide by zero.",
            "Single-label data: cross entropy and softmax stand in for binary cross entropy and "
            "sigmoid; the graph then has no edges.",
        ),
    ),
)
