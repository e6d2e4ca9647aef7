"""Baselines beside RAMer: published models, and the trivial predictors every board carries.

Only the listing lives here; a model's own module is imported when the model is built.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.specs import CompatSpec, ModelSpec, Paper

_TRIVIAL = "harness_baselines:trivial.yaml"

_MEMOR = Paper(
    title="MEmoR: A Dataset for Multimodal Emotion Reasoning in Videos",
    authors="Guangyao Shen, Xin Wang, Xuguang Duan, Hongzhi Li, Wenwu Zhu",
    venue="ACM MM",
    year=2020,
    url="https://doi.org/10.1145/3394171.3413909",
)
_AMER_DEVIATIONS = (
    "Each distinct valid cell and one zero row are encoded, attention is one batched product per "
    "kind; the authors loop over samples, persons and segments and encode padding.",
    "Sequences are grids of one person whose last position asks; unaligned modalities lie side by "
    "side by position, and where one has none at the last, a zero row's encoding asks.",
    "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
)

_FUSION_DEVIATIONS = (
    "A missing modality's vector is zero; the public code's sub-networks read zeros as features.",
    "Sequences: the mean of the recurrent states stands for the target segment's.",
    "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
)
_DIALOGUE_DEVIATIONS = (
    "Faithfulness: own design before the network. How table 1 fed it MEmoR is not public: here "
    "cells with any modality are utterances, characters are speakers, and the loss is on the "
    "target's utterance alone, drawn by class instead of weighted.",
    "Each dialogue is read alone (packed); the authors' recurrent layers also read padding, so "
    "that scores depend on the batch (packed=false).",
    "Sequences are dialogues of one speaker whose answers are averaged, for their labels are the "
    "whole sequence's.",
)

SPECS: tuple[ModelSpec, ...] = (
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
    ModelSpec(
        name="amer",
        factory="harness_baselines.amer:Amer",
        summary="Attention between persons and over segments, with personality as an input",
        defaults="harness_baselines:amer.yaml",
        paper=_MEMOR,
        reported_as="amer",
        layouts=("sequence", "grid"),
        deviations=_AMER_DEVIATIONS,
    ),
    ModelSpec(
        name="amer-no-personality",
        factory="harness_baselines.amer:Amer",
        summary="AMER without its personality input",
        defaults="harness_baselines:amer_no_personality.yaml",
        paper=_MEMOR,
        reported_as="amer-no-personality",
        layouts=("sequence", "grid"),
        deviations=(
            "The authors' released code cannot run this row: here the personality encoder and its "
            "inputs are left out, and all attentions keep the temperature sqrt(4 D).",
            *_AMER_DEVIATIONS,
        ),
    ),
    ModelSpec(
        name="mdl",
        factory="harness_baselines.mdl:Mdl",
        summary="Feed-forward network on what the target person shows, and who they are",
        defaults="harness_baselines:mdl.yaml",
        paper=_MEMOR,
        reported_as="mdl",
        layouts=("sequence", "grid"),
        deviations=(
            "Faithfulness: own design. Neither code nor a description of this row is public; it is "
            "early fusion at the target cell on AMER's encoders, with AMER's recipe.",
            "Sequences: the mean over valid positions stands for the target cell.",
            "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
        ),
        variants=(("context=mean", "Means over the person's segments and over others appended"),),
    ),
    ModelSpec(
        name="mdae",
        factory="harness_baselines.mdae:Mdae",
        summary="Deep autoencoder that rebuilds hidden modalities, with a classifier on its code",
        defaults="harness_baselines:mdae.yaml",
        paper=Paper(
            title="Multimodal Deep Learning",
            authors="Jiquan Ngiam, Aditya Khosla, Mingyu Kim, Juhan Nam, Honglak Lee, Andrew Y. Ng",
            venue="ICML",
            year=2011,
        ),
        reported_as="mdae",
        layouts=("sequence", "grid"),
        deviations=(
            "Faithfulness: own design. MEmoR's version of this row is not public; encoders and "
            "recipe are AMER's, the idea is the paper's.",
            "Joint back-propagation with rectified units stands in for pre-training by restricted "
            "Boltzmann machines, a small network for the linear support vector machine "
            "(two_stage=true: pre-training, then the classifier alone).",
            "A feature that is constant in training is centred only, not divided by its deviation.",
            "Sequences: the mean over valid positions stands for the target cell.",
            "Multi-label data: sigmoids and binary cross entropy stand in for the softmax.",
        ),
        variants=(("two_stage=true", "Autoencoder first, then its code is frozen"),),
    ),
    ModelSpec(
        name="bilstm-tfn",
        factory="harness_baselines.bilstm_tfn:BilstmTfn",
        summary="A BiLSTM per modality, then the outer product of all modalities",
        defaults="harness_baselines:bilstm_tfn.yaml",
        paper=Paper(
            title="Tensor Fusion Network for Multimodal Sentiment Analysis",
            authors="Amir Zadeh, Minghai Chen, Soujanya Poria, Erik Cambria, Louis-Philippe "
            "Morency",
            venue="EMNLP",
            year=2017,
            url="https://doi.org/10.18653/v1/D17-1115",
        ),
        reported_as="bilstm-tfn",
        layouts=("sequence", "grid"),
        deviations=(
            "Faithfulness: own design before the fusion. How table 1 read MEmoR is not public; "
            "here AMER's cell encoders and a BiLSTM over the target person's segments.",
            *_FUSION_DEVIATIONS,
        ),
        variants=(
            ("personality=mode", "Personality as a factor of its own in the fusion"),
            ("subnets=reference", "The public code's sub-networks, for sequences"),
        ),
    ),
    ModelSpec(
        name="bilstm-lmf",
        factory="harness_baselines.bilstm_lmf:BilstmLmf",
        summary="A BiLSTM per modality, then tensor fusion of low rank",
        defaults="harness_baselines:bilstm_lmf.yaml",
        paper=Paper(
            title="Efficient Low-rank Multimodal Fusion With Modality-Specific Factors",
            authors="Zhun Liu, Ying Shen, Varun Bharadhwaj Lakshminarasimhan, Paul Pu Liang, "
            "AmirAli Bagher Zadeh, Louis-Philippe Morency",
            venue="ACL",
            year=2018,
            url="https://doi.org/10.18653/v1/P18-1209",
        ),
        reported_as="bilstm-lmf",
        layouts=("sequence", "grid"),
        deviations=(
            "Faithfulness: own design before the fusion. How table 1 read MEmoR is not public; "
            "here AMER's cell encoders and a BiLSTM over the target person's segments.",
            "One learning rate for all parameters; the public codes give the factors their own, "
            "and one of them never trains the weights over the rank and the bias.",
            *_FUSION_DEVIATIONS,
        ),
        variants=(
            ("personality=mode", "Personality as a factor of its own in the fusion"),
            ("subnets=reference", "The public code's sub-networks, for sequences"),
        ),
    ),
    ModelSpec(
        name="dialoguegcn",
        factory="harness_baselines.dialoguegcn:DialogueGcn",
        summary="A graph between near utterances: who spoke to whom, before or after",
        defaults="harness_baselines:dialoguegcn.yaml",
        paper=Paper(
            title="DialogueGCN: A Graph Convolutional Neural Network for Emotion Recognition in "
            "Conversation",
            authors="Deepanway Ghosal, Navonil Majumder, Soujanya Poria, Niyati Chhaya, "
            "Alexander Gelbukh",
            venue="EMNLP-IJCNLP",
            year=2019,
            url="https://doi.org/10.18653/v1/D19-1015",
        ),
        reported_as="dialoguegcn",
        layouts=("sequence", "grid"),
        deviations=(
            *_DIALOGUE_DEVIATIONS,
            "Edge attention is the paper's bilinear form; the authors' code has weights by "
            "position (edge_attention=positional).",
        ),
        variants=(
            ("edge_attention=positional", "The authors' code"),
            ("direction=paper", "A vertex gathers from its neighbours, as the paper says"),
            ("packed=false", "Padding is read, as in the authors' code"),
        ),
    ),
    ModelSpec(
        name="dialoguecrn",
        factory="harness_baselines.dialoguecrn:DialogueCrn",
        summary="Reasoning in steps over the dialogue and over each speaker's own utterances",
        defaults="harness_baselines:dialoguecrn.yaml",
        paper=Paper(
            title="DialogueCRN: Contextual Reasoning Networks for Emotion Recognition in "
            "Conversations",
            authors="Dou Hu, Lingwei Wei, Xiaoyong Huai",
            venue="ACL-IJCNLP",
            year=2021,
            url="https://doi.org/10.18653/v1/2021.acl-long.547",
        ),
        reported_as="dialoguecrn",
        layouts=("sequence", "grid"),
        deviations=(
            *_DIALOGUE_DEVIATIONS,
            "The best epoch is the one with the best validation score; the authors' default "
            "selects on the test set.",
            "Multi-label data: the focal factor acts on each label's binary cross entropy.",
        ),
        variants=(("packed=false", "Padding is read, as in the authors' code"),),
    ),
    ModelSpec(
        name="all-absent",
        factory="harness_baselines.trivial:AllAbsent",
        summary="Answers that no label is present",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
        label_kinds=("multilabel",),
    ),
    ModelSpec(
        name="prior",
        factory="harness_baselines.trivial:Prior",
        summary="Scores every label by its frequency in the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
    ModelSpec(
        name="most-frequent",
        factory="harness_baselines.trivial:MostFrequent",
        summary="Always answers the most frequent label of the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
    ModelSpec(
        name="best-constant",
        factory="harness_baselines.trivial:BestConstant",
        summary="Always answers the label set that scores best on the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
)


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return the baselines."""
    return SPECS


@hookimpl
def harness_reported() -> Iterable[str]:
    """Return the figures of the papers' tables."""
    return ["harness_baselines:published.yaml"]
